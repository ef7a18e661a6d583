#include "server/placement/placement.h"

#include <gmock/gmock.h>

#include "base/bytes.h"
#include "tests/fakes/sample_host.h"

namespace berth::server {
namespace {

using host::CpuSet;
using testing::ElementsAre;

// The sample host: CPUs 0-3 and 3.5 GiB available on node 0, CPUs 4-7 and the same on node 1.
PlacementRequest Guest(int vcpus, uint64_t size_bytes) {
  PlacementRequest request{.vcpu_count = vcpus};
  request.nodes.push_back({.size_bytes = size_bytes});
  for (int i = 0; i < vcpus; ++i) request.nodes[0].vcpus.push_back(i);
  return request;
}

PlacementRequest Dedicated(int vcpus, uint64_t size_bytes) {
  PlacementRequest request = Guest(vcpus, size_bytes);
  request.cpu_policy = CpuPolicy::kDedicated;
  return request;
}

// Asks for one more device, of which there is one.
void AddDevice(PlacementRequest* request, int host_node) {
  request->devices.push_back({.any_of = {static_cast<int>(request->candidates.size())}});
  request->candidates.push_back(
      {.key = fmt::format("device{}", request->candidates.size()), .host_node = host_node});
}

std::vector<int> MemoryNodes(const Placement& placement) {
  std::vector<int> nodes;
  for (const auto& node : placement.nodes) {
    for (const auto& memory : node.memory) nodes.push_back(memory.host_node);
  }
  return nodes;
}

TEST(Placement, FollowsItsDevices) {
  PlacementRequest request = Guest(2, kGiB);
  AddDevice(&request, 1);
  const auto placement = Place(host::SampleHost(), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_EQ(placement->vcpus[0], (CpuSet{4, 5, 6, 7}));
  EXPECT_EQ(placement->vcpus[1], (CpuSet{4, 5, 6, 7}));
  EXPECT_THAT(MemoryNodes(*placement), ElementsAre(1));
}

TEST(Placement, FollowsMostOfItsDevices) {
  PlacementRequest request = Guest(1, kGiB);
  for (int node : {1, 0, 1}) AddDevice(&request, node);
  EXPECT_THAT(MemoryNodes(*Place(host::SampleHost(), {}, request)), ElementsAre(1));
}

TEST(Placement, LeavesItsDevicesWhereThereIsNoRoom) {
  PlacementRequest request = Guest(1, 2 * kGiB);
  AddDevice(&request, 1);
  const Ledger ledger = {{.guest = "guests/a", .memory = {{.host_node = 1, .size_bytes = 2 * kGiB}}}};
  EXPECT_THAT(MemoryNodes(*Place(host::SampleHost(), ledger, request)), ElementsAre(0));
}

TEST(Placement, GuestsThatShareGoWhereLeastIsPromised) {
  const Ledger ledger = {{.guest = "guests/a", .shared_cpus = {{.host_node = 0, .millicpus = 2000}}}};
  EXPECT_THAT(MemoryNodes(*Place(host::SampleHost(), ledger, Guest(1, kGiB))), ElementsAre(1));
}

TEST(Placement, GuestsWithCpusOfTheirOwnLeaveTheLargestHole) {
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {6, 7}}};
  EXPECT_THAT(MemoryNodes(*Place(host::SampleHost(), ledger, Dedicated(2, kGiB))), ElementsAre(1));
}

TEST(Placement, SpansNodesOnlyWhenNoSingleOneHasRoom) {
  const auto placement = Place(host::SampleHost(), {}, Guest(1, 5 * kGiB));
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_EQ(placement->AllNodes(), (CpuSet{0, 1}));
  EXPECT_EQ(placement->vcpus[0].size(), 8u);
}

TEST(Placement, MemoryThatDoesNotFitIsRefusedWithEachNodesReason) {
  const auto placement = Place(host::SampleHost(), {}, Guest(1, 64 * kGiB));
  ASSERT_FALSE(placement);
  EXPECT_EQ(placement.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(placement.error().reason(), "NOT_ENOUGH_MEMORY");
  ASSERT_EQ(placement.error().metadata().size(), 2u);
  EXPECT_EQ(placement.error().metadata()[0].first, "node0");
  EXPECT_THAT(placement.error().metadata()[0].second, testing::HasSubstr("64 GiB"));
}

TEST(Placement, WhatIsPromisedCountsThoughNobodyUsesItYet) {
  const Ledger ledger = {
      {.guest = "guests/a",
       .memory = {{.host_node = 0, .size_bytes = 3 * kGiB}, {.host_node = 1, .size_bytes = 3 * kGiB}}}};
  EXPECT_EQ(Place(host::SampleHost(), ledger, Guest(1, 2 * kGiB)).error().reason(), "NOT_ENOUGH_MEMORY");
}

TEST(Placement, HugePagesAreCountedByThemselves) {
  PlacementRequest request = Guest(1, 128 * kMiB);
  request.page_size_bytes = 2 * kMiB;
  EXPECT_TRUE(Place(host::SampleHost(), {}, request));
  request.nodes[0].size_bytes = 512 * kMiB;
  EXPECT_EQ(Place(host::SampleHost(), {}, request).error().reason(), "NOT_ENOUGH_HUGE_PAGES");
  request.page_size_bytes = kGiB;
  EXPECT_EQ(Place(host::SampleHost(), {}, request).error().reason(), "HUGE_PAGE_SIZE_NOT_SUPPORTED");
}

TEST(Placement, DedicatedVcpusEachHaveACpu) {
  PlacementRequest request = Dedicated(3, kGiB);
  request.host_nodes = {0};
  const auto placement = Place(host::SampleHost(), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_EQ(placement->AllCpus().size(), 3u);
  for (const CpuSet& cpus : placement->vcpus) EXPECT_EQ(cpus.size(), 1u);
  EXPECT_TRUE((CpuSet{0, 1, 2, 3}).ContainsAll(placement->AllCpus()));
}

TEST(Placement, SingleVcpusTakeBrokenCoresFirst) {
  PlacementRequest request = Dedicated(1, kGiB);
  request.host_nodes = {0};
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {2}}};
  EXPECT_EQ(Place(host::SampleHost(), ledger, request)->vcpus[0], (CpuSet{3}));
}

TEST(Placement, ThreadsOfAGuestsCoreShareAHostCore) {
  PlacementRequest request = Dedicated(2, kGiB);
  request.threads_per_core = 2;
  request.host_nodes = {0};
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {1}}};
  EXPECT_EQ(Place(host::SampleHost(), ledger, request)->AllCpus(), (CpuSet{2, 3}));
}

TEST(Placement, MoreDedicatedVcpusThanTheHostHasCpus) {
  PlacementRequest request = Dedicated(9, kGiB);
  const auto placement = Place(host::SampleHost(), {}, request);
  ASSERT_FALSE(placement);
  EXPECT_EQ(placement.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(placement.error().reason(), "NOT_ENOUGH_HOST_CPUS");
}

TEST(Placement, DedicatedCpusAreKeptFromOthers) {
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {0, 1, 2}}};
  PlacementRequest request = Guest(1, kGiB);
  request.host_nodes = {0};
  EXPECT_EQ(Place(host::SampleHost(), ledger, request)->vcpus[0], (CpuSet{3}));
}

TEST(Placement, ExplicitCpusAreTakenInOrderAndBringTheirMemory) {
  PlacementRequest request = Dedicated(2, kGiB);
  request.host_cpus = {6, 5};
  AddDevice(&request, 0);
  const auto placement = Place(host::SampleHost(), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_EQ(placement->vcpus[0], (CpuSet{6}));
  EXPECT_EQ(placement->vcpus[1], (CpuSet{5}));
  EXPECT_THAT(MemoryNodes(*placement), ElementsAre(1));
}

TEST(Placement, ExplicitCpusMustBeThereOnlineAndNobodyElses) {
  host::HostSnapshot host = host::SampleHost();
  host.cpus.online.Erase(7);
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {5}}};
  PlacementRequest request = Dedicated(1, kGiB);
  request.host_cpus = {99};
  EXPECT_EQ(Place(host, ledger, request).error().reason(), "HOST_CPU_NOT_FOUND");
  request.host_cpus = {7};
  EXPECT_EQ(Place(host, ledger, request).error().reason(), "HOST_CPU_OFFLINE");
  request.host_cpus = {5};
  const auto taken = Place(host, ledger, request);
  EXPECT_EQ(taken.error().reason(), "HOST_CPU_IN_USE");
  EXPECT_EQ(taken.error().code(), Code::kFailedPrecondition);
}

TEST(Placement, AnUnknownNodeIsRefused) {
  PlacementRequest request = Guest(1, kGiB);
  request.host_nodes = {7};
  EXPECT_EQ(Place(host::SampleHost(), {}, request).error().reason(), "HOST_NODE_NOT_FOUND");
}

TEST(Placement, GuestNodesGoToHostNodesOfTheirOwn) {
  PlacementRequest request{.nodes = {{.size_bytes = kGiB, .vcpus = {1}}, {.size_bytes = kGiB, .vcpus = {0}}},
                           .vcpu_count = 2,
                           .cpu_policy = CpuPolicy::kDedicated};
  AddDevice(&request, 1);
  const auto placement = Place(host::SampleHost(), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_THAT(MemoryNodes(*placement), ElementsAre(0, 1));
  EXPECT_TRUE((CpuSet{0, 1, 2, 3}).ContainsAll(placement->vcpus[1]));
  EXPECT_TRUE((CpuSet{4, 5, 6, 7}).ContainsAll(placement->vcpus[0]));
  EXPECT_EQ(placement->devices[0].guest_node, 1);
}

TEST(Placement, AReservationHoldsWhatWasPlaced) {
  PlacementRequest request = Dedicated(2, 5 * kGiB);
  const Placement placement = *Place(host::SampleHost(), {}, request);
  const Reservation& reservation = placement.reservation;
  EXPECT_EQ(reservation.dedicated_cpus, placement.AllCpus());
  ASSERT_EQ(reservation.memory.size(), 2u);
  EXPECT_EQ(reservation.memory[0].size_bytes + reservation.memory[1].size_bytes, 5 * kGiB);
}

}  // namespace
}  // namespace berth::server
