// Which CPUs guests get by policy: threads of cores, cores alone, mixed ones, and those of other threads.
#include <gmock/gmock.h>

#include "server/placement/placement.h"
#include "tests/fakes/made_host.h"
#include "tests/fakes/sample_host.h"

namespace berth::server {
namespace {

using host::CpuSet;

// For one node with CPUs 0-7, threads of a core next to each other.
PlacementRequest Dedicated(int vcpus) {
  PlacementRequest request{.vcpu_count = vcpus, .cpu_policy = CpuPolicy::kDedicated};
  request.nodes.push_back({.size_bytes = kGiB});
  for (int i = 0; i < vcpus; ++i) request.nodes[0].vcpus.push_back(i);
  return request;
}
const host::MadeHost kOneNode{.nodes = 1};

std::vector<int> CpusOf(const Placement& placement) {
  std::vector<int> cpus;
  for (const CpuSet& one : placement.vcpus) cpus.push_back(one.size() == 1 ? *one.begin() : -1);
  return cpus;
}

TEST(CpuPolicy, PairsGetWholeCoresAndTheOddOneABrokenOne) {
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {4}}};
  const auto placement = Place(Make(kOneNode), ledger, Dedicated(3));
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_THAT(CpusOf(*placement), testing::ElementsAre(0, 1, 5));
}

// Nova's _pack_instance_onto_cores takes 0 of {4}, {0, 1}, {2, 3}, and with it a whole core.
TEST(CpuPolicy, ALoneThreadIsTakenBeforeAWholeCoreIsBroken) {
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {5, 6, 7}}};
  EXPECT_THAT(CpusOf(*Place(Make(kOneNode), ledger, Dedicated(1))), testing::ElementsAre(4));
}

TEST(CpuPolicy, PreferTakesFragmentsWhenNothingElseIsLeft) {
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {0, 2, 4, 6}}};
  EXPECT_THAT(CpusOf(*Place(Make(kOneNode), ledger, Dedicated(4))), testing::ElementsAre(1, 3, 5, 7));
}

TEST(CpuPolicy, IsolateKeepsTheOtherThreadsIdle) {
  PlacementRequest request = Dedicated(2);
  request.sibling_policy = SiblingPolicy::kIsolate;
  const auto placement = Place(Make(kOneNode), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_THAT(CpusOf(*placement), testing::ElementsAre(0, 2));
  EXPECT_EQ(placement->reservation.dedicated_cpus, (CpuSet{0, 1, 2, 3}));
}

TEST(CpuPolicy, IsolateOnAHostOfSingleThreadsTakesNoMore) {
  PlacementRequest request = Dedicated(2);
  request.sibling_policy = SiblingPolicy::kIsolate;
  host::MadeHost made = kOneNode;
  made.threads_per_core = 1;
  EXPECT_EQ(Place(Make(made), {}, request)->reservation.dedicated_cpus.size(), 2u);
}

TEST(CpuPolicy, RequireWantsWholeCores) {
  PlacementRequest request = Dedicated(4);
  request.sibling_policy = SiblingPolicy::kRequire;
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {0, 2, 4}}};
  EXPECT_EQ(Place(Make(kOneNode), ledger, request).error().reason(), "NOT_ENOUGH_WHOLE_CORES");
  request = Dedicated(3);
  request.sibling_policy = SiblingPolicy::kRequire;
  EXPECT_EQ(Place(Make(kOneNode), {}, request).error().reason(), "BAD_PLACEMENT");
  host::MadeHost made = kOneNode;
  made.threads_per_core = 1;
  EXPECT_EQ(Place(Make(made), {}, request).error().reason(), "NO_HOST_THREADS");
}

TEST(CpuPolicy, AGuestIsToldOfThreadsOnlyIfAllShareCores) {
  PlacementRequest request = Dedicated(4);
  request.threads_per_core = 0;
  EXPECT_EQ(Place(Make(kOneNode), {}, request)->threads_per_core, 2);
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {0, 2, 4}}};
  EXPECT_EQ(Place(Make(kOneNode), ledger, request)->threads_per_core, 1);
}

TEST(CpuPolicy, MixedGuestsHaveBoth) {
  PlacementRequest request = Dedicated(3);
  request.cpu_policy = CpuPolicy::kMixed;
  request.dedicated_vcpus = {0, 1};
  const auto placement = Place(Make(kOneNode), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_EQ(placement->vcpus[0], CpuSet{0});
  EXPECT_EQ(placement->vcpus[1], CpuSet{1});
  EXPECT_EQ(placement->vcpus[2], (CpuSet{2, 3, 4, 5, 6, 7}));
  ASSERT_EQ(placement->reservation.shared_cpus.size(), 1u);
  EXPECT_EQ(placement->reservation.shared_cpus[0].millicpus, 250);
}

// KubeVirt's extra CPU for the emulator breaks a core that a pair could have had.
TEST(CpuPolicy, AnEmulatorOfItsOwnTakesABrokenCore) {
  PlacementRequest request = Dedicated(2);
  request.emulator = HelperPolicy::kIsolated;
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {0}}};
  const auto placement = Place(Make(kOneNode), ledger, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_THAT(CpusOf(*placement), testing::ElementsAre(2, 3));
  EXPECT_EQ(placement->emulator, CpuSet{1});
  EXPECT_EQ(placement->reservation.dedicated_cpus, (CpuSet{1, 2, 3}));
}

TEST(CpuPolicy, ASharedEmulatorStaysOffTheGuestsOwnCpus) {
  PlacementRequest request = Dedicated(2);
  request.emulator = HelperPolicy::kShared;
  request.io_threads = HelperPolicy::kShared;
  request.io_thread_count = 1;
  const auto placement = Place(Make(kOneNode), {}, request);
  ASSERT_TRUE(placement) << placement.error().message();
  EXPECT_EQ(placement->emulator, (CpuSet{2, 3, 4, 5, 6, 7}));
  ASSERT_EQ(placement->io_threads.size(), 1u);
  EXPECT_EQ(placement->io_threads[0], placement->emulator);
}

TEST(CpuPolicy, WhatSharingGuestsWerePromisedIsNotDedicated) {
  const Ledger ledger = {{.guest = "guests/a", .shared_cpus = {{.host_node = 0, .millicpus = 2500}}}};
  EXPECT_TRUE(Place(Make(kOneNode), ledger, Dedicated(5)));
  const auto refused = Place(Make(kOneNode), ledger, Dedicated(6));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "NOT_ENOUGH_HOST_CPUS");
  PlacementRequest chosen = Dedicated(6);
  chosen.host_cpus = {0, 1, 2, 3, 4, 5};
  EXPECT_EQ(Place(Make(kOneNode), ledger, chosen).error().reason(), "NOT_ENOUGH_SHARED_CPUS");
}

TEST(CpuPolicy, SharedCpusAreOvercommittedSoFarAndNoFarther) {
  PlacementRequest request = Dedicated(8);
  request.cpu_policy = CpuPolicy::kShared;
  Ledger ledger;
  for (int guests = 0; guests < 4; ++guests) {
    const auto placement = Place(Make(kOneNode), ledger, request);
    ASSERT_TRUE(placement) << placement.error().message();
    ledger.push_back(placement->reservation);
  }
  EXPECT_EQ(Place(Make(kOneNode), ledger, request).error().reason(), "NOT_ENOUGH_SHARED_CPUS");
}

TEST(CpuPolicy, NoGuestIsWiderThanWhatItShares) {
  PlacementRequest request = Dedicated(9);
  request.cpu_policy = CpuPolicy::kShared;
  EXPECT_EQ(Place(Make(kOneNode), {}, request).error().reason(), "NOT_ENOUGH_SHARED_CPUS");
}

TEST(CpuPolicy, PoolsAreKeptApart) {
  const CpuPools pools{.housekeeping = {0, 1}, .dedicated = {4, 5, 6, 7}};
  PlacementRequest shared = Dedicated(1);
  shared.cpu_policy = CpuPolicy::kShared;
  EXPECT_EQ(Place(Make(kOneNode), {}, shared, pools)->vcpus[0], (CpuSet{2, 3}));
  EXPECT_EQ(Place(Make(kOneNode), {}, Dedicated(4), pools)->AllCpus(), (CpuSet{4, 5, 6, 7}));
  EXPECT_EQ(Place(Make(kOneNode), {}, Dedicated(5), pools).error().reason(), "NOT_ENOUGH_HOST_CPUS");
  PlacementRequest chosen = Dedicated(1);
  chosen.host_cpus = {2};
  EXPECT_EQ(Place(Make(kOneNode), {}, chosen, pools).error().reason(), "HOST_CPU_NOT_DEDICABLE");
}

TEST(CpuPolicy, IsolatedCpusAreForThoseWithCpusOfTheirOwn) {
  host::HostSnapshot host = Make(kOneNode);
  host.cpus.isolated = {6, 7};
  PlacementRequest shared = Dedicated(1);
  shared.cpu_policy = CpuPolicy::kShared;
  EXPECT_EQ(Place(host, {}, shared)->vcpus[0], (CpuSet{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(Place(host, {}, Dedicated(2))->AllCpus(), (CpuSet{6, 7}));
}

TEST(CpuPolicy, KindsOfCoresAreNotMixedWithoutNeed) {
  host::HostSnapshot host = Make(kOneNode);
  host.cpus.efficiency = {0, 1, 2, 3};
  EXPECT_EQ(Place(host, {}, Dedicated(2))->AllCpus(), (CpuSet{4, 5}));
  PlacementRequest efficient = Dedicated(2);
  efficient.core_kind = CoreKind::kEfficiency;
  EXPECT_EQ(Place(host, {}, efficient)->AllCpus(), (CpuSet{0, 1}));
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {4, 5, 6}}};
  EXPECT_EQ(Place(host, ledger, Dedicated(2))->AllCpus(), (CpuSet{0, 1}));
  EXPECT_EQ(Place(Make(kOneNode), {}, efficient).error().reason(), "CORE_KIND_NOT_FOUND");
}

TEST(CpuPolicy, CoresUnderOneCacheAreTakenTogether) {
  host::MadeHost made{.nodes = 1, .cores_per_node = 8, .cores_per_cache = 4};
  const Ledger ledger = {{.guest = "guests/a", .dedicated_cpus = {0, 1, 2, 3}}};
  EXPECT_EQ(Place(Make(made), ledger, Dedicated(4))->AllCpus(), (CpuSet{4, 5, 6, 7}));
  EXPECT_EQ(Place(Make(made), ledger, Dedicated(6))->AllCpus(), (CpuSet{8, 9, 10, 11, 12, 13}));
}

}  // namespace
}  // namespace berth::server
