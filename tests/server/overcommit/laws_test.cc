// The laws of which the autopilot is made, one by one.
#include <gmock/gmock.h>

#include "base/bytes.h"
#include "server/overcommit/allotment.h"
#include "server/overcommit/ksm_law.h"
#include "server/overcommit/reclaim_law.h"
#include "server/overcommit/shortage.h"
#include "server/overcommit/working_set.h"
#include "tests/fakes/random.h"

namespace berth::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST(WorkingSet, IsWhatCannotBeGivenUp) {
  GuestMemoryFacts guest{
      .memory_bytes = 512 * kMiB, .resident_bytes = 300 * kMiB, .swapped_bytes = 50 * kMiB};
  EXPECT_EQ(NeededBytes(guest), 350 * kMiB);
  guest.balloon = BalloonFacts{.actual_bytes = 100 * kMiB, .available_bytes = 212 * kMiB};
  EXPECT_EQ(NeededBytes(guest), 200 * kMiB);
}

TEST(WorkingSet, LiesAreWorthNoMoreThanTheGuest) {
  GuestMemoryFacts guest{.memory_bytes = kGiB};
  guest.balloon = BalloonFacts{.actual_bytes = ~uint64_t{0}, .available_bytes = ~uint64_t{0}};
  EXPECT_EQ(NeededBytes(guest), 0u);
  guest.balloon = BalloonFacts{};
  EXPECT_EQ(NeededBytes(guest), kGiB);
}

TEST(WorkingSet, RisesAtOnceAndFallsSlowly) {
  WorkingSet set;
  EXPECT_EQ(set.Update(10, 100 * kMiB), 100 * kMiB);
  EXPECT_EQ(set.Update(11, 300 * kMiB), 300 * kMiB);
  EXPECT_NEAR(static_cast<double>(set.Update(11 + WorkingSet::kHalfLifeSeconds, 100 * kMiB)), 200.0 * kMiB,
              kMiB);
  EXPECT_LT(set.Update(11 + 10 * WorkingSet::kHalfLifeSeconds, 100 * kMiB), 102 * kMiB);
}

TEST(Divide, WhatFitsIsGiven) {
  EXPECT_THAT(Divide(300, {{.memory_bytes = 100}, {.memory_bytes = 200}}), ElementsAre(100, 200));
}

TEST(Divide, ReservationsThenWantsThenShares) {
  EXPECT_THAT(
      Divide(100, {{.memory_bytes = 200, .reserved_bytes = 80}, {.memory_bytes = 200, .reserved_bytes = 90}}),
      ElementsAre(80, 90));
  EXPECT_THAT(
      Divide(150, {{.memory_bytes = 200, .reserved_bytes = 50}, {.memory_bytes = 200, .wanted_bytes = 100}}),
      ElementsAre(50, 100));
  // Twice the shares: twice the part of what is left.
  const auto parts = Divide(
      3 * kGiB, {{.memory_bytes = 4 * kGiB, .shares = 200}, {.memory_bytes = 4 * kGiB, .shares = 100}});
  EXPECT_NEAR(static_cast<double>(parts[0]), 2.0 * kGiB, kMiB);
  EXPECT_NEAR(static_cast<double>(parts[1]), 1.0 * kGiB, kMiB);
}

TEST(Divide, HoldsWhateverIsAsked) {
  Random random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<AllotmentDemand> demands;
    uint64_t reserved = 0;
    for (int i = 0; i < 1 + round % 20; ++i) {
      const uint64_t memory = 1 + random.Next() % (64 * kGiB);
      demands.push_back({.memory_bytes = memory,
                         .reserved_bytes = random.Next() % (memory + 1),
                         .wanted_bytes = random.Next() % (2 * memory),
                         .shares = static_cast<int>(1 + random.Next() % 10'000)});
      reserved += demands.back().reserved_bytes;
    }
    const uint64_t pool = random.Next() % (64 * kGiB);
    const auto parts = Divide(pool, demands), more = Divide(pool + kGiB, demands);
    uint64_t sum = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      EXPECT_GE(parts[i], demands[i].reserved_bytes);
      EXPECT_LE(parts[i], demands[i].memory_bytes);
      EXPECT_GE(more[i] + 2, parts[i]);  // Of rounding.
      sum += parts[i];
    }
    EXPECT_LE(sum, std::max(pool, reserved));
  }
}

MemoryFacts Host(double seconds, uint64_t available_percent, double pressure_percent) {
  MemoryFacts facts{
      .seconds = seconds, .total_bytes = 100 * kGiB, .available_bytes = available_percent * kGiB};
  facts.pressure = host::Pressure{.some = {.percent = pressure_percent}};
  return facts;
}

TEST(ShortageLaw, PressureIsAShortage) {
  ShortageLaw law({});
  EXPECT_FALSE(law.Step(Host(1, 12, 9)).is_short);
  const auto verdict = law.Step(Host(6, 12, 15));
  EXPECT_TRUE(verdict.began);
  EXPECT_GT(verdict.missing_bytes, kGiB);
  EXPECT_GE(verdict.reserve_bytes, 10 * kGiB);
  EXPECT_FALSE(law.Step(Host(11, 12, 15)).began);
}

// A guest at its own limit waits, too, and taking memory from others would not help it.
TEST(ShortageLaw, PressureWithPlentyOfMemoryIsNone) {
  EXPECT_FALSE(ShortageLaw({}).Step(Host(1, 60, 80)).is_short);
}

TEST(ShortageLaw, ASuddenStallIsSeenBeforeTheMeanShowsIt) {
  ShortageLaw law({});
  law.Step(Host(1, 12, 0));
  MemoryFacts facts = Host(3, 12, 1);
  facts.pressure->some.total_us = 1'000'000;
  EXPECT_TRUE(law.Step(facts).severe);
}

TEST(ShortageLaw, WithoutPsiWhatIsAvailableTells) {
  ShortageLaw law({});
  MemoryFacts facts = Host(1, 4, 0);
  facts.pressure.reset();
  const auto verdict = law.Step(facts);
  EXPECT_TRUE(verdict.is_short);
  EXPECT_EQ(verdict.missing_bytes, 6 * kGiB);
}

TEST(ShortageLaw, EndsWhenAllHasBeenWellForAWhile) {
  ShortageLaw law({});
  law.Step(Host(1, 4, 20));
  EXPECT_TRUE(law.Step(Host(5, 20, 2)).is_short);
  EXPECT_TRUE(law.Step(Host(20, 20, 6)).is_short);  // Half of what is allowed is not yet well.
  EXPECT_TRUE(law.Step(Host(45, 20, 2)).is_short);
  EXPECT_TRUE(law.Step(Host(51, 20, 2)).ended);
  EXPECT_FALSE(law.Step(Host(52, 20, 2)).is_short);
}

GuestMemoryFacts Guest(const std::string& name, uint64_t resident_mib) {
  return {.guest = name,
          .memory_bytes = kGiB,
          .reserved_bytes = 256 * kMiB,
          .resident_bytes = resident_mib * kMiB};
}
uint64_t NoWorkingSet(const std::string&) { return 0; }

TEST(ReclaimLaw, TheLargestIdlePartsGoFirst) {
  ReclaimLaw law;
  MemoryFacts facts{.seconds = 1, .swap_free_bytes = 10 * kGiB};
  facts.guests = {Guest("a", 400), Guest("b", 900), Guest("c", 200)};
  for (GuestMemoryFacts& guest : facts.guests) guest.balloon = BalloonFacts{};
  const auto actions = law.Step(facts, 100 * kMiB, {}, NoWorkingSet);
  ASSERT_THAT(actions, SizeIs(2));  // c has less than its reservation.
  EXPECT_EQ(actions[0].guest, "b");
  EXPECT_EQ(actions[0].bytes, 64 * kMiB);
  EXPECT_EQ(actions[1].bytes, 36 * kMiB);
}

TEST(ReclaimLaw, WhatAGuestCallsNeededIsTakenInSmallerStepsAndLast) {
  ReclaimLaw law;
  MemoryFacts facts{.seconds = 1, .swap_free_bytes = 10 * kGiB};
  facts.guests = {Guest("liar", 1000), Guest("silent", 900), Guest("idle", 700)};
  facts.guests[0].balloon = facts.guests[2].balloon = BalloonFacts{};
  const auto actions =
      law.Step(facts, kGiB, {}, [](const std::string& guest) { return guest == "liar" ? kGiB : 0; });
  ASSERT_THAT(actions, SizeIs(3));
  EXPECT_EQ(actions[0].guest, "idle");
  EXPECT_EQ(actions[0].bytes, 64 * kMiB);
  EXPECT_EQ(actions[1].guest, "liar");
  EXPECT_EQ(actions[1].bytes, 32 * kMiB);
}

TEST(ReclaimLaw, NothingWithoutSwapNorWhereZswapSavesNothing) {
  ReclaimLaw law;
  MemoryFacts facts{.seconds = 1};
  facts.guests = {Guest("a", 900)};
  EXPECT_THAT(law.Step(facts, kGiB, {}, NoWorkingSet), IsEmpty());
  facts.swap_free_bytes = kGiB;
  facts.zswapped_bytes = 100 * kMiB;
  facts.zswap_pool_bytes = 90 * kMiB;
  EXPECT_THAT(law.Step(facts, kGiB, {}, NoWorkingSet), IsEmpty());
  facts.zswap_pool_bytes = 50 * kMiB;
  const auto actions = law.Step(facts, 10 * kMiB, {}, NoWorkingSet);
  ASSERT_THAT(actions, SizeIs(1));
  EXPECT_EQ(actions[0].bytes, 20 * kMiB);  // Half of it stays in memory.
}

TEST(ReclaimLaw, WhoseMemoryComesBackIsLeftAlone) {
  ReclaimLaw law;
  MemoryFacts facts{.seconds = 1, .swap_free_bytes = 10 * kGiB};
  facts.guests = {Guest("a", 900)};
  ASSERT_THAT(law.Step(facts, kGiB, {}, NoWorkingSet), SizeIs(1));
  facts.seconds = 6;
  facts.guests[0].refaulted_pages = 16 * kMiB / 4096;
  EXPECT_THAT(law.Step(facts, kGiB, {}, NoWorkingSet), IsEmpty());
  facts.seconds = 6 + ReclaimLaw::kBackOffSeconds;
  EXPECT_THAT(law.Step(facts, kGiB, {}, NoWorkingSet), SizeIs(1));
}

TEST(KsmLaw, ScansMoreWhileItFinds) {
  host::KsmState now;
  now.settings = NextKsm(now, 0, true, 2);
  EXPECT_EQ(now.settings.run, 1);
  EXPECT_FALSE(now.settings.merge_across_nodes);
  const int before = now.settings.pages_to_scan;
  now.pages_sharing = 1000;
  EXPECT_GT(NextKsm(now, 0, true, 2).pages_to_scan, before);
  EXPECT_LT(NextKsm(now, 999, true, 2).pages_to_scan, before);
}

TEST(KsmLaw, StopsByAndByAndKeepsWhatIsMerged) {
  host::KsmState now{.settings = {.run = 1, .pages_to_scan = kMostPagesToScan}, .pages_sharing = 5000};
  int steps = 0;
  for (; now.settings.run == 1 && steps < 100; ++steps) now.settings = NextKsm(now, 5000, false, 1);
  EXPECT_EQ(now.settings.run, 0);
  EXPECT_GT(steps, 10);
}

TEST(KsmLaw, NodesAreKeptApartOnlyWhileNothingIsMerged) {
  host::KsmState now{.pages_shared = 7};
  EXPECT_TRUE(NextKsm(now, 0, true, 2).merge_across_nodes);
  EXPECT_TRUE(NextKsm({}, 0, true, 1).merge_across_nodes);
}

}  // namespace
}  // namespace berth::server
