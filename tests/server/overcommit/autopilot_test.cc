#include "server/overcommit/autopilot.h"

#include <set>

#include <gmock/gmock.h>

#include "base/bytes.h"
#include "tests/fakes/random.h"
#include "tests/fakes/simulated_host.h"

namespace berth::server {
namespace {

using Kind = MemoryAction::Kind;
using testing::Contains;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

std::function<double(double)> Always(double mib) {
  return [mib](double) { return mib; };
}
// `base`, and for `on` seconds of every `period` `peak`, beginning at `phase`.
std::function<double(double)> Bursts(double base, double peak, double on, double period, double phase) {
  return [=](double seconds) { return std::fmod(seconds + period - phase, period) < on ? peak : base; };
}

std::vector<Kind> KindsOf(const SimulatedHost& host) {
  std::vector<Kind> kinds;
  for (const auto& done : host.log) kinds.push_back(done.action.kind);
  return kinds;
}
bool Has(const SimulatedHost& host, Kind kind) { return testing::Value(KindsOf(host), Contains(kind)); }

TEST(MemoryAutopilot, WhereAllFitsNothingIsDone) {
  SimulatedHost host(4096, 0,
                     {{.name = "a", .memory_mib = 1024, .need_mib = Always(900)},
                      {.name = "b", .memory_mib = 1024, .need_mib = Bursts(100, 1000, 20, 60, 10)}});
  MemoryAutopilot autopilot({});
  host.Run(autopilot, 600);
  EXPECT_THAT(host.log, IsEmpty());
}

// Sold half again as much as there is, without swap; at any moment what is needed fits.
TEST(MemoryAutopilot, WhatIsNeededIsFoundAmongThoseWhoDoNotNeedIt) {
  std::vector<SimulatedGuest> guests;
  for (int i = 0; i < 6; ++i) {
    guests.push_back({.name = fmt::format("guests/{}", i),
                      .memory_mib = 512,
                      .reserved_mib = 128,
                      .need_mib = Bursts(100, 380, 40, 240, 40 * i)});
  }
  SimulatedHost host(2048, 0, guests);
  MemoryAutopilot autopilot({});
  host.Run(autopilot, 1500);
  EXPECT_EQ(host.out_of_memory, 0);
  EXPECT_LT(host.stalled_seconds(), 1);
  EXPECT_TRUE(Has(host, Kind::kShrink));
  EXPECT_TRUE(Has(host, Kind::kGrow));
  EXPECT_FALSE(Has(host, Kind::kReclaim));
}

TEST(MemoryAutopilot, ASteadyLoadComesToRest) {
  SimulatedHost host(1024, 512,
                     {{.name = "a", .memory_mib = 768, .need_mib = Always(300)},
                      {.name = "b", .memory_mib = 768, .need_mib = Always(200)},
                      {.name = "c", .memory_mib = 256, .need_mib = Always(250), .balloon = false}});
  MemoryAutopilot autopilot({});
  host.Run(autopilot, 1200);
  ASSERT_FALSE(host.log.empty());
  EXPECT_LT(host.log.back().seconds, 600) << host.log.back().action.reason;
}

TEST(MemoryAutopilot, MeansAreTakenInOrder) {
  SimulatedHost host(1024, 1024,
                     {{.name = "a", .memory_mib = 512, .need_mib = Always(500), .idle_part = 0.1},
                      {.name = "b",
                       .memory_mib = 512,
                       .need_mib = Always(500),
                       .idle_part = 0.1,
                       .mergeable = true,
                       .last_resort = LastResort::kEvict},
                      {.name = "c",
                       .memory_mib = 512,
                       .need_mib = Always(500),
                       .idle_part = 0.1,
                       .last_resort = LastResort::kFreeze}});
  MemoryAutopilot autopilot({});
  host.Run(autopilot, 400);
  std::vector<Kind> first;
  for (const Kind kind : KindsOf(host)) {
    if (kind <= Kind::kEvict && !testing::Value(first, Contains(kind))) first.push_back(kind);
  }
  EXPECT_TRUE(std::is_sorted(first.begin(), first.end())) << testing::PrintToString(first);
  EXPECT_THAT(first, Contains(Kind::kTell));
  EXPECT_THAT(first, Contains(Kind::kMerge));
  EXPECT_THAT(first, Contains(Kind::kFreeze));
}

TEST(MemoryAutopilot, WhatWasFrozenIsThawedWhenThereIsMemoryAgain) {
  SimulatedHost host(768, 512,
                     {{.name = "a", .memory_mib = 512, .need_mib = Bursts(50, 500, 200, 2000, 10)},
                      {.name = "b",
                       .memory_mib = 512,
                       .need_mib = Always(450),
                       .balloon = false,
                       .last_resort = LastResort::kFreeze}});
  MemoryAutopilot autopilot({});
  host.Run(autopilot, 600);
  EXPECT_TRUE(Has(host, Kind::kFreeze));
  EXPECT_TRUE(Has(host, Kind::kThaw));
  EXPECT_FALSE(host.guests[1].frozen);
}

TEST(MemoryAutopilot, WithoutAPolicyNobodyIsFrozenOrEvicted) {
  SimulatedHost host(512, 0, {{.name = "a", .memory_mib = 512, .need_mib = Always(500), .balloon = false}});
  MemoryAutopilot autopilot({});
  host.Run(autopilot, 300);
  EXPECT_FALSE(Has(host, Kind::kFreeze) || Has(host, Kind::kEvict));
  EXPECT_TRUE(Has(host, Kind::kTell));
}

TEST(MemoryAutopilot, AnotherOneGoesOnWhereOneEnded) {
  SimulatedHost host(1024, 256,
                     {{.name = "a", .memory_mib = 768, .need_mib = Always(300)},
                      {.name = "b", .memory_mib = 768, .need_mib = Always(300)}});
  MemoryAutopilot autopilot({});
  host.Run(autopilot, 600);
  const double target = host.guests[0].target_mib;
  EXPECT_GT(target, 0);
  host.log.clear();
  MemoryAutopilot next({});
  host.Run(next, 900);
  EXPECT_NEAR(host.guests[0].target_mib, target, 768.0 / 16);
  EXPECT_THAT(host.log, SizeIs(testing::Le(1u)));
}

// The kernel holds a guest to its limit (memory.max); what it would use above is swapped, or the guest
// killed.
TEST(MemoryAutopilot, ALimitIsABalloon) {
  MemoryFacts facts{.seconds = 1, .total_bytes = 8 * kGiB, .available_bytes = 7 * kGiB};
  facts.guests = {{.guest = "a", .memory_bytes = kGiB, .limit_bytes = kGiB - kGiB / 8}};
  facts.guests[0].balloon = BalloonFacts{.available_bytes = kGiB / 2};
  MemoryAutopilot autopilot({});
  const auto actions = autopilot.Step(facts);
  ASSERT_THAT(actions, SizeIs(1));
  EXPECT_EQ(actions[0].bytes, kGiB / 8);
  EXPECT_THAT(actions[0].reason, testing::HasSubstr("its limit"));
}

TEST(MemoryAutopilot, MergingThatOthersStartedIsLeftToThem) {
  MemoryFacts facts{.seconds = 1, .total_bytes = kGiB, .available_bytes = kGiB};
  facts.ksm = host::KsmState{.settings = {.run = 1}};
  MemoryAutopilot autopilot({});
  EXPECT_THAT(autopilot.Step(facts), IsEmpty());
  facts.merging_is_ours = true;
  facts.seconds = 2;
  EXPECT_THAT(autopilot.Step(facts), SizeIs(1));
}

// Whatever guests do, and whatever their drivers say.
class AnyLoad : public testing::TestWithParam<unsigned> {};

TEST_P(AnyLoad, ReservationsHoldAndEveryActionHasItsReasonAndItsTurn) {
  Random random(GetParam());
  const auto upto = [&](double most) { return most * random.Unit(); };
  std::vector<SimulatedGuest> guests;
  double promised = 0;
  for (int i = 0; i < 8; ++i) {
    const double memory = 64 + upto(900), peak = upto(memory * 1.2);
    guests.push_back({.name = fmt::format("guests/{}", i),
                      .memory_mib = memory,
                      .reserved_mib = upto(memory / 2),
                      .need_mib = Bursts(upto(peak), peak, 1 + upto(60), 62 + upto(200), upto(50)),
                      .idle_part = upto(0.8),
                      .balloon = upto(1) < 0.7,
                      .pinned = upto(1) < 0.15,
                      .mergeable = upto(1) < 0.3,
                      .last_resort = static_cast<LastResort>(random.Below(3))});
    promised += memory;
  }
  SimulatedHost host(promised / (1 + upto(1)), upto(1) < 0.5 ? 0 : promised / 4, guests);
  MemoryAutopilot autopilot({});
  host.Run(autopilot, 900, 1 + upto(9));

  bool is_short = false;
  std::set<Kind> episode;
  for (const SimulatedHost::Done& done : host.log) {
    const double seconds = done.seconds;
    const MemoryAction& action = done.action;
    const MemoryFacts& facts = done.facts;
    EXPECT_FALSE(action.reason.empty());
    if (action.kind == Kind::kTell) {
      is_short = true;
      episode.clear();
    }
    if (action.kind == Kind::kRelax) is_short = false;
    const bool costs =
        action.kind == Kind::kReclaim || action.kind == Kind::kFreeze || action.kind == Kind::kEvict;
    EXPECT_TRUE(is_short || !costs) << seconds;
    // Nothing comes before what is cheaper, if that could be done at all.
    if (action.kind == Kind::kFreeze || action.kind == Kind::kEvict) {
      const bool mergeable = std::any_of(facts.guests.begin(), facts.guests.end(),
                                         [](const auto& guest) { return guest.mergeable && !guest.pinned; });
      EXPECT_TRUE(!mergeable || facts.merging_is_ours || episode.contains(Kind::kMerge)) << seconds;
    }
    episode.insert(action.kind);
    if (action.guest.empty()) continue;
    const auto guest = std::find_if(facts.guests.begin(), facts.guests.end(),
                                    [&](const auto& one) { return one.guest == action.guest; });
    ASSERT_NE(guest, facts.guests.end());
    EXPECT_FALSE(guest->pinned) << action.guest;
    if (action.kind == Kind::kShrink || action.kind == Kind::kGrow) {
      EXPECT_GE(guest->memory_bytes - action.bytes, guest->reserved_bytes) << seconds;
    }
    if (action.kind == Kind::kReclaim) {
      EXPECT_GE(guest->resident_bytes, guest->reserved_bytes + action.bytes) << seconds;
    }
    if (action.kind == Kind::kFreeze) {
      EXPECT_EQ(guest->last_resort, LastResort::kFreeze);
    }
    if (action.kind == Kind::kEvict) {
      EXPECT_EQ(guest->last_resort, LastResort::kEvict);
    }
  }
}

// What was given is not taken back at once, nor the other way round, but for need.
TEST_P(AnyLoad, BalloonsDoNotSwing) {
  Random random(GetParam());
  const auto upto = [&](double most) { return most * random.Unit(); };
  std::vector<SimulatedGuest> guests;
  for (int i = 0; i < 6; ++i) {
    const double memory = 256 + upto(512);
    guests.push_back({.name = fmt::format("guests/{}", i),
                      .memory_mib = memory,
                      .reserved_mib = 64,
                      .need_mib = Always(40 + upto(memory / 2 - 40))});
  }
  SimulatedHost host(2048, upto(1) < 0.5 ? 0 : 512, guests);
  MemoryAutopilot autopilot({});
  host.Run(autopilot, 1200);
  std::map<std::string, int> turns;
  std::map<std::string, Kind> last;
  for (const auto& done : host.log) {
    if (done.action.kind != Kind::kShrink && done.action.kind != Kind::kGrow) continue;
    const auto [known, first] = last.emplace(done.action.guest, done.action.kind);
    if (!first && known->second != done.action.kind) ++turns[done.action.guest];
    known->second = done.action.kind;
    EXPECT_LT(done.seconds, 900) << done.action.guest << ": " << done.action.reason;
  }
  for (const auto& [guest, count] : turns) EXPECT_LE(count, 2) << guest;
}

INSTANTIATE_TEST_SUITE_P(Seeds, AnyLoad, testing::Range(1u, 41u));

}  // namespace
}  // namespace berth::server
