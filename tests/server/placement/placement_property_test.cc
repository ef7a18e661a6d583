// What holds for every host and every sequence of guests. A failure prints the seed that shows it.
#include <algorithm>
#include <map>
#include <numeric>

#include <gmock/gmock.h>

#include "server/placement/choose.h"
#include "tests/server/placement/random_fleet.h"

namespace berth::server {
namespace {

constexpr int kSeeds = 160;
constexpr int kGuests = 24;

// A host on which guests came and went.
struct Busy {
  host::MadeHost made;
  host::HostSnapshot host;
  CpuPools pools;
  Ledger ledger;
};

Busy MakeBusy(Random& random) {
  Busy busy{.made = RandomHost(random)};
  busy.host = Make(busy.made);
  busy.pools = RandomPools(random, busy.host);
  for (int i = 0; i < kGuests; ++i) {
    const auto request = RandomRequest(random, busy.made, "guests/" + std::to_string(i));
    if (auto placement = Place(busy.host, busy.ledger, request, busy.pools))
      busy.ledger.push_back(placement->reservation);
    if (random.OneIn(4) && !busy.ledger.empty())
      busy.ledger.erase(busy.ledger.begin() + random.Below(static_cast<int>(busy.ledger.size())));
  }
  return busy;
}

void ExpectNoCpuTwice(const Busy& busy) {
  host::CpuSet taken;
  for (const Reservation& reservation : busy.ledger) {
    EXPECT_TRUE((taken & reservation.dedicated_cpus).empty());
    taken = taken | reservation.dedicated_cpus;
  }
  EXPECT_TRUE(Resolve(busy.pools, busy.host.cpus).dedicated.ContainsAll(taken));
}

void ExpectWithinCapacity(const Busy& busy) {
  const ResolvedCpuPools pools = Resolve(busy.pools, busy.host.cpus);
  host::CpuSet taken;
  for (const Reservation& reservation : busy.ledger) taken = taken | reservation.dedicated_cpus;
  for (const host::NumaNode& node : busy.host.memory.nodes) {
    std::map<uint64_t, uint64_t> promised;
    int64_t millicpus = 0;
    for (const Reservation& reservation : busy.ledger) {
      for (const auto& memory : reservation.memory) {
        if (memory.host_node == node.id) promised[memory.page_size_bytes] += memory.size_bytes;
      }
      for (const auto& shared : reservation.shared_cpus) {
        if (shared.host_node == node.id) millicpus += shared.millicpus;
      }
    }
    const uint64_t huge = node.huge_pages[0].total_pages * node.huge_pages[0].page_size_bytes;
    EXPECT_LE(promised[2 * kMiB], huge);
    EXPECT_LE(promised[4 * kKiB], node.memory_total_bytes - huge);
    const host::CpuSet shared = (pools.shared & node.cpus) - (pools.common ? taken : host::CpuSet());
    EXPECT_LE(millicpus, static_cast<int64_t>(shared.size()) * 1000);
  }
}

// What a placement says agrees with itself and with what was asked for.
void ExpectWhole(const PlacementRequest& request, const Placement& placement) {
  uint64_t size = 0, wanted = request.size_bytes;
  for (const auto& node : placement.nodes) {
    for (const auto& memory : node.memory) size += memory.size_bytes;
  }
  for (const auto& node : request.nodes) wanted += node.size_bytes;
  EXPECT_EQ(size, wanted);
  host::CpuSet own;
  for (int vcpu = 0; vcpu < request.vcpu_count; ++vcpu) {
    const host::CpuSet& cpus = placement.vcpus[vcpu];
    ASSERT_FALSE(cpus.empty());
    if (!request.IsDedicated(vcpu)) {
      EXPECT_TRUE((cpus & placement.reservation.dedicated_cpus).empty());
      continue;
    }
    EXPECT_EQ(cpus.size(), 1u);
    EXPECT_TRUE((own & cpus).empty());
    own = own | cpus;
  }
  EXPECT_TRUE(placement.reservation.dedicated_cpus.ContainsAll(own));
  EXPECT_FALSE(placement.emulator.empty());
  EXPECT_EQ(placement.io_threads.size(), static_cast<size_t>(request.io_thread_count));
  ASSERT_EQ(placement.devices.size(), request.devices.size());
  std::set<std::string> keys;
  for (size_t i = 0; i < request.devices.size(); ++i) {
    const auto& device = placement.devices[i];
    EXPECT_TRUE(keys.insert(device.key).second);
    const auto& pool = request.devices[i].any_of;
    EXPECT_TRUE(std::any_of(pool.begin(), pool.end(),
                            [&](int candidate) { return request.candidates[candidate].key == device.key; }));
  }
}

TEST(PlacementProperty, PromisesAreKeptHoweverGuestsComeAndGo) {
  for (uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    Busy busy = MakeBusy(random);
    ExpectNoCpuTwice(busy);
    ExpectWithinCapacity(busy);
    const auto request = RandomRequest(random, busy.made, "guests/new");
    const auto placement = Place(busy.host, busy.ledger, request, busy.pools);
    if (!placement) {
      EXPECT_FALSE(placement.error().reason().empty());
      continue;
    }
    ExpectWhole(request, *placement);
    busy.ledger.push_back(placement->reservation);
    ExpectNoCpuTwice(busy);
    ExpectWithinCapacity(busy);
  }
}

TEST(PlacementProperty, AGuestThatLeavesNeverMakesAnotherUnplaceable) {
  int placed = 0;
  for (uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    const Busy busy = MakeBusy(random);
    for (int i = 0; i < 8; ++i) {
      const auto request = RandomRequest(random, busy.made, "guests/new");
      if (!Place(busy.host, busy.ledger, request, busy.pools)) continue;
      ++placed;
      for (size_t leaving = 0; leaving < busy.ledger.size(); ++leaving) {
        Ledger ledger = busy.ledger;
        ledger.erase(ledger.begin() + static_cast<long>(leaving));
        const auto placement = Place(busy.host, ledger, request, busy.pools);
        EXPECT_TRUE(placement) << placement.error().message() << " without " << busy.ledger[leaving].guest;
      }
    }
  }
  EXPECT_GT(placed, kSeeds);
}

// The order in which guests came makes no difference to where the next one goes.
TEST(PlacementProperty, TheLedgersOrderDoesNotMatter) {
  for (uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    const Busy busy = MakeBusy(random);
    const auto request = RandomRequest(random, busy.made, "guests/new");
    Ledger reversed(busy.ledger.rbegin(), busy.ledger.rend());
    const auto one = Place(busy.host, busy.ledger, request, busy.pools);
    const auto other = Place(busy.host, reversed, request, busy.pools);
    ASSERT_EQ(one.has_value(), other.has_value());
    if (!one) continue;
    EXPECT_EQ(one->vcpus, other->vcpus);
    EXPECT_EQ(one->AllNodes(), other->AllNodes());
  }
}

// Other numbers in the same order: the same plan with the other numbers in it.
TEST(PlacementProperty, SparseNodeNumbersChangeNothing) {
  for (uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random plain(seed), sparse(seed);
    host::MadeHost made = RandomHost(plain), renamed = RandomHost(sparse);
    renamed.first_node = 2;
    renamed.node_step = 3;
    const auto request = RandomRequest(plain, made, "guests/a");
    const auto same = RandomRequest(sparse, renamed, "guests/a");
    const auto one = Place(Make(made), {}, request);
    const auto other = Place(Make(renamed), {}, same);
    ASSERT_EQ(one.has_value(), other.has_value());
    if (!one) continue;
    EXPECT_EQ(one->vcpus, other->vcpus);
    for (size_t i = 0; i < one->nodes.size(); ++i) {
      ASSERT_EQ(one->nodes[i].memory.size(), other->nodes[i].memory.size());
      for (size_t j = 0; j < one->nodes[i].memory.size(); ++j) {
        EXPECT_EQ(one->nodes[i].memory[j].host_node * 3 + 2, other->nodes[i].memory[j].host_node);
        EXPECT_EQ(one->nodes[i].memory[j].size_bytes, other->nodes[i].memory[j].size_bytes);
      }
    }
  }
}

// The host with its nodes listed in another order: `order[i]` is the node that comes i-th. Ids stay.
host::HostSnapshot Reordered(const host::HostSnapshot& host, const std::vector<int>& order) {
  host::HostSnapshot reordered = host;
  for (size_t i = 0; i < order.size(); ++i) {
    reordered.memory.nodes[i] = host.memory.nodes[order[i]];
    for (size_t j = 0; j < order.size(); ++j)
      reordered.memory.nodes[i].distances[j] = host.memory.nodes[order[i]].distances[order[j]];
  }
  return reordered;
}

// In any order the place found is as good: equals may be exchanged, but nothing better be missed.
TEST(PlacementProperty, TheOrderOfNodesDoesNotMakeAPlanWorse) {
  for (uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    const Busy busy = MakeBusy(random);
    const auto request = RandomRequest(random, busy.made, "guests/new");
    std::vector<int> order(busy.made.nodes);
    std::iota(order.begin(), order.end(), 0);
    for (int i = busy.made.nodes - 1; i > 0; --i) std::swap(order[i], order[random.Below(i + 1)]);
    const HostModel model = MakeHostModel(busy.host, busy.pools);
    const HostModel other_model = MakeHostModel(Reordered(busy.host, order), busy.pools);
    const auto one = Choose(model, RoomBeside(model, busy.ledger), request);
    const auto other = Choose(other_model, RoomBeside(other_model, busy.ledger), request);
    ASSERT_EQ(one.has_value(), other.has_value());
    if (!one) continue;
    // How a guest node is divided among several alike may follow their order, and with it what is left on
    // them.
    Score score = one->score, other_score = other->score;
    const bool spans = one->parts.size() > one->guest_nodes.size();
    if (spans) score.placeable_lost = other_score.placeable_lost = 0;
    EXPECT_TRUE(score == other_score);
  }
}

}  // namespace
}  // namespace berth::server
