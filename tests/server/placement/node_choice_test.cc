// Which host nodes a guest's nodes, memory and devices go to.
#include <gmock/gmock.h>

#include "server/placement/placement.h"
#include "tests/fakes/made_host.h"

namespace berth::server {
namespace {

using host::Make;
using testing::ElementsAre;
using testing::HasSubstr;

PlacementRequest Guest(int vcpus, uint64_t size_bytes) {
  PlacementRequest request{.vcpu_count = vcpus, .cpu_policy = CpuPolicy::kDedicated};
  request.nodes.push_back({.size_bytes = size_bytes});
  for (int i = 0; i < vcpus; ++i) request.nodes[0].vcpus.push_back(i);
  return request;
}

// A pool of devices on these nodes, and `count` requests for any of it.
void AddDevices(PlacementRequest* request, const std::vector<int>& nodes, int count,
                DeviceAffinity affinity) {
  DeviceRequest device{.affinity = affinity};
  for (int node : nodes) {
    device.any_of.push_back(static_cast<int>(request->candidates.size()));
    request->candidates.push_back(
        {.key = fmt::format("gpu{}", request->candidates.size()), .host_node = node});
  }
  for (int i = 0; i < count; ++i) request->devices.push_back(device);
}

std::vector<int> MemoryNodes(const Placement& placement) {
  std::vector<int> nodes;
  for (const auto& node : placement.nodes) {
    for (const auto& memory : node.memory) nodes.push_back(memory.host_node);
  }
  return nodes;
}

// Four nodes of 4 cores (8 threads) and 16 GiB; 0 and 1 are near, and 2 and 3.
const host::MadeHost kFourNodes{.nodes = 4};

TEST(NodeChoice, SpansNodesThatAreNear) {
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {0, 1, 2, 3, 4}}};
  EXPECT_THAT(MemoryNodes(*Place(Make(kFourNodes), ledger, Guest(12, kGiB))), ElementsAre(2, 3));
}

TEST(NodeChoice, MemoryOfASpanFollowsItsVcpus) {
  const Ledger ledger = {
      {.guest = "guests/a",
       .dedicated_cpus = {0, 1, 2, 3, 4, 5, 16, 17, 18, 19, 20, 21, 24, 25, 26, 27, 28, 29}}};
  const auto placement = Place(Make(kFourNodes), ledger, Guest(10, 10 * kGiB));
  ASSERT_TRUE(placement) << placement.error().message();
  ASSERT_THAT(MemoryNodes(*placement), ElementsAre(0, 1));
  EXPECT_EQ(placement->nodes[0].memory[0].size_bytes, 2 * kGiB);
  EXPECT_EQ(placement->nodes[0].memory[1].size_bytes, 8 * kGiB);
}

TEST(NodeChoice, AsFewGuestNodesAsTheHostCanDo) {
  PlacementRequest request{.node_count = PlacementRequest::kAutomaticNodes,
                           .size_bytes = 12 * kGiB,
                           .vcpu_count = 12,
                           .cpu_policy = CpuPolicy::kDedicated};
  const auto placement = Place(Make(kFourNodes), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  ASSERT_EQ(placement->nodes.size(), 2u);
  EXPECT_THAT(placement->nodes[0].vcpus, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(placement->nodes[1].memory[0].size_bytes, 6 * kGiB);
  EXPECT_THAT(placement->nodes[0].distances, ElementsAre(10, 12));
  request.vcpu_count = 4;
  EXPECT_EQ(Place(Make(kFourNodes), {}, request)->nodes.size(), 1u);
}

TEST(NodeChoice, UnevenGuestNodesAreMatchedToUnevenRoom) {
  // Guest node 0 is large; only host node 3 has room for it, and what is first tried for it would be
  // another's.
  PlacementRequest request{.vcpu_count = 8, .cpu_policy = CpuPolicy::kDedicated};
  request.nodes = {{.size_bytes = 12 * kGiB, .vcpus = {0, 1, 2, 3, 4, 5}},
                   {.size_bytes = kGiB, .vcpus = {6, 7}}};
  Ledger ledger;
  for (int node : {0, 1, 2})
    ledger.push_back(
        {.guest = fmt::format("guests/{}", node), .memory = {{.host_node = node, .size_bytes = 8 * kGiB}}});
  EXPECT_THAT(MemoryNodes(*Place(Make(kFourNodes), ledger, request)), ElementsAre(3, 2));
}

TEST(NodeChoice, AHostOfOneNodeTakesAllGuestNodes) {
  PlacementRequest request{.vcpu_count = 2};
  request.nodes = {{.size_bytes = kGiB, .vcpus = {0}}, {.size_bytes = kGiB, .vcpus = {1}}};
  const auto placement = Place(Make({.nodes = 1}), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_THAT(MemoryNodes(*placement), ElementsAre(0, 0));
  EXPECT_THAT(placement->nodes[1].distances, ElementsAre(11, 10));
}

TEST(NodeChoice, AGuestNodeGoesWhereItWasTold) {
  PlacementRequest request{.vcpu_count = 2};
  request.nodes = {{.size_bytes = kGiB, .vcpus = {0}, .host_node = 3}, {.size_bytes = kGiB, .vcpus = {1}}};
  EXPECT_THAT(MemoryNodes(*Place(Make(kFourNodes), {}, request)), ElementsAre(3, 2));
}

TEST(NodeChoice, RequiredDevicesDecide) {
  PlacementRequest request = Guest(2, kGiB);
  AddDevices(&request, {2, 2}, 2, DeviceAffinity::kRequired);
  const auto placement = Place(Make(kFourNodes), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_THAT(MemoryNodes(*placement), ElementsAre(2));
  EXPECT_EQ(placement->devices[0].key, "gpu0");
  EXPECT_EQ(placement->devices[1].key, "gpu1");
}

TEST(NodeChoice, RequiredDevicesOfTwoNodesMakeAGuestSpanBoth) {
  PlacementRequest request = Guest(2, kGiB);
  AddDevices(&request, {1}, 1, DeviceAffinity::kRequired);
  AddDevices(&request, {2}, 1, DeviceAffinity::kRequired);
  EXPECT_THAT(MemoryNodes(*Place(Make(kFourNodes), {}, request)), ElementsAre(1, 2));
}

TEST(NodeChoice, ANodeWithoutRoomIsBesideNoDevice) {
  PlacementRequest request = Guest(1, kGiB);
  AddDevices(&request, {1}, 1, DeviceAffinity::kRequired);
  AddDevices(&request, {2}, 1, DeviceAffinity::kRequired);
  EXPECT_THAT(MemoryNodes(*Place(Make(kFourNodes), {}, request)), ElementsAre(1, 2));
  const Ledger ledger = {{.guest = "guests/a", .memory = {{.host_node = 2, .size_bytes = 16 * kGiB}}}};
  EXPECT_EQ(Place(Make(kFourNodes), ledger, request).error().reason(), "DEVICE_AFFINITY_NOT_MET");
}

TEST(NodeChoice, AnyDeviceOfAPoolThatHasRoomBesideIt) {
  PlacementRequest request = Guest(6, kGiB);
  AddDevices(&request, {0, 1}, 1, DeviceAffinity::kRequired);
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {0, 1, 2, 3}}};
  const auto placement = Place(Make(kFourNodes), ledger, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_EQ(placement->devices[0].key, "gpu1");
  EXPECT_EQ(placement->devices[0].host_node, 1);
}

TEST(NodeChoice, PoolsThatOverlapAreSharedOut) {
  // The first takes either, the second only gpu0.
  PlacementRequest request = Guest(2, kGiB);
  request.candidates = {{.key = "gpu0", .host_node = 1}, {.key = "gpu1", .host_node = 1}};
  request.devices = {{.any_of = {0, 1}}, {.any_of = {0}}};
  const auto placement = Place(Make(kFourNodes), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_EQ(placement->devices[0].key, "gpu1");
  EXPECT_EQ(placement->devices[1].key, "gpu0");
}

TEST(NodeChoice, ADeviceThatIsTakenIsNotGivenAgain) {
  PlacementRequest request = Guest(1, kGiB);
  AddDevices(&request, {1, 3}, 1, DeviceAffinity::kPreferred);
  const auto first = Place(Make(kFourNodes), {}, request);
  ASSERT_TRUE(first);
  const auto second = Place(Make(kFourNodes), {first->reservation}, request);
  ASSERT_TRUE(second);
  EXPECT_NE(first->devices[0].key, second->devices[0].key);
  const auto third = Place(Make(kFourNodes), {first->reservation, second->reservation}, request);
  EXPECT_EQ(third.error().reason(), "NOT_ENOUGH_DEVICES");
}

TEST(NodeChoice, APreferredDeviceIsAsNearAsThereIsRoom) {
  PlacementRequest request = Guest(8, kGiB);
  AddDevices(&request, {3}, 1, DeviceAffinity::kPreferred);
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {24}}};
  EXPECT_THAT(MemoryNodes(*Place(Make(kFourNodes), ledger, request)), ElementsAre(2));
  request.devices[0].affinity = DeviceAffinity::kRequired;
  request.host_nodes = {0, 1, 2};
  const auto refused = Place(Make(kFourNodes), ledger, request);
  EXPECT_EQ(refused.error().reason(), "DEVICE_AFFINITY_NOT_MET");
  EXPECT_THAT(refused.error().message(), HasSubstr("preferred"));
}

// A GPU of a GB200 is on a node without CPUs: those nearest are beside it.
TEST(NodeChoice, ADeviceOnANodeWithoutCpusIsBesideTheNearest) {
  host::HostSnapshot host = Make(kFourNodes);
  for (auto& cpu : host.cpus.cpus) {
    if (cpu.node != 3) continue;
    host.cpus.online.Erase(cpu.id);
    host.memory.nodes[3].cpus.Erase(cpu.id);
  }
  PlacementRequest request = Guest(2, kGiB);
  AddDevices(&request, {3}, 1, DeviceAffinity::kRequired);
  const auto placement = Place(host, {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_THAT(MemoryNodes(*placement), ElementsAre(2));
}

TEST(NodeChoice, NodesWithoutCpusAreForThoseWhoNameThem) {
  host::HostSnapshot host = Make({.nodes = 2});
  host.memory.nodes[1].cpus = {};
  PlacementRequest request = Guest(2, 20 * kGiB);
  EXPECT_EQ(Place(host, {}, request).error().reason(), "NOT_ENOUGH_MEMORY");
  request.host_nodes = {0, 1};
  EXPECT_THAT(MemoryNodes(*Place(host, {}, request)), ElementsAre(0, 1));
}

TEST(NodeChoice, NodesWithDevicesAreKeptForGuestsThatWantThem) {
  host::MadeHost made = kFourNodes;
  made.devices = {8, 8, 8, 0};
  EXPECT_THAT(MemoryNodes(*Place(Make(made), {}, Guest(2, kGiB))), ElementsAre(3));
  made.devices = {8, 4, 8, 8};
  EXPECT_THAT(MemoryNodes(*Place(Make(made), {}, Guest(2, kGiB))), ElementsAre(1));
}

TEST(NodeChoice, GuestsKeptApartShareNoNode) {
  PlacementRequest request = Guest(1, kGiB);
  request.guest = "guests/b";
  request.apart_from = {"guests/a"};
  Ledger ledger = {
      {.guest = "guests/a", .dedicated_cpus = {0}, .memory = {{.host_node = 0, .size_bytes = kGiB}}}};
  EXPECT_THAT(MemoryNodes(*Place(Make({}), ledger, request)), ElementsAre(1));
  // Whoever of the two says so.
  request.apart_from.clear();
  ledger[0].apart_from = {"guests/b"};
  EXPECT_THAT(MemoryNodes(*Place(Make({}), ledger, request)), ElementsAre(1));
  ledger[0].memory.push_back({.host_node = 1, .size_bytes = kGiB});
  EXPECT_EQ(Place(Make({}), ledger, request).error().reason(), "GUESTS_NOT_APART");
}

TEST(NodeChoice, MemoryThatMayBeOvercommittedCountsForLess) {
  PlacementRequest request = Guest(1, 20 * kGiB);
  request.host_nodes = {0};
  EXPECT_FALSE(Place(Make({}), {}, request));
  request.memory_permille = 667;
  const auto placement = Place(Make({}), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_EQ(placement->nodes[0].memory[0].size_bytes, 20 * kGiB);
  EXPECT_LT(placement->reservation.memory[0].size_bytes, 14 * kGiB);
}

TEST(NodeChoice, TheMonitorsOwnMemoryIsOrdinary) {
  PlacementRequest request = Guest(1, kGiB);
  request.page_size_bytes = 2 * kMiB;
  request.overhead_bytes = 64 * kMiB;
  host::MadeHost made;
  made.huge_bytes_per_node = kGiB;
  const auto placement = Place(Make(made), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  ASSERT_EQ(placement->reservation.memory.size(), 2u);
  EXPECT_EQ(placement->reservation.memory[0].page_size_bytes, 2 * kMiB);
  EXPECT_EQ(placement->reservation.memory[1].page_size_bytes, 4 * kKiB);
  EXPECT_EQ(placement->reservation.memory[1].size_bytes, 64 * kMiB);
}

TEST(NodeChoice, EnoughInPiecesIsSaidToBe) {
  PlacementRequest request = Guest(8, kGiB);
  request.nodes = {{.size_bytes = kGiB, .vcpus = {0, 1, 2, 3, 4, 5, 6}}, {.size_bytes = kGiB, .vcpus = {7}}};
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {0, 1, 8, 9}}};
  const auto refused = Place(Make({}), ledger, request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "HOST_TOO_FRAGMENTED");
  ASSERT_EQ(refused.error().metadata().size(), 2u);
  EXPECT_EQ(refused.error().metadata()[0].second, "guest node 0: 7 CPUs to be dedicated, 6 free");
}

}  // namespace
}  // namespace berth::server
