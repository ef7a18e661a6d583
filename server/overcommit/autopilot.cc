#include "server/overcommit/autopilot.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/error.h"
#include "server/overcommit/ksm_law.h"

namespace berth::server {
namespace {

using Kind = MemoryAction::Kind;

// What balloons are asked for and have not brought yet; some of it never comes, as it is not in memory.
uint64_t PendingBytes(const MemoryFacts& facts, const std::vector<MemoryAction>& shrinking) {
  uint64_t pending = 0;
  for (const GuestMemoryFacts& guest : facts.guests) {
    if (!guest.balloon) continue;
    uint64_t target = guest.balloon->target_bytes;
    for (const MemoryAction& action : shrinking)
      if (action.guest == guest.guest) target = action.bytes;
    const uint64_t left = guest.memory_bytes - std::min(guest.memory_bytes, target);
    if (target > guest.balloon->actual_bytes)
      pending += guest.resident_bytes - std::min(guest.resident_bytes, left);
  }
  return pending;
}

}  // namespace

std::vector<MemoryAction> MemoryAutopilot::Step(const MemoryFacts& facts) {
  verdict_ = shortage_.Step(facts);
  std::vector<MemoryAction> actions;
  if (verdict_.began) {
    actions.push_back({.kind = Kind::kTell, .reason = verdict_.why});
    rung_ = Rung::kBalloon;
    reached_ = facts.seconds;
  }
  const std::vector<MemoryAction> balloons = balloons_.Step(facts, verdict_);
  actions.insert(actions.end(), balloons.begin(), balloons.end());
  if (verdict_.is_short) {
    Climb(facts, &actions);
  } else {
    for (const GuestMemoryFacts& guest : facts.guests) {
      if (guest.frozen)
        actions.push_back({.kind = Kind::kThaw, .guest = guest.guest, .reason = "the host has memory again"});
    }
  }
  if (!verdict_.is_short || rung_ < Rung::kMerge) StepKsm(facts, false, &actions);
  if (facts.ksm) saved_pages_ = facts.ksm->pages_sharing;
  if (verdict_.ended) actions.push_back({.kind = Kind::kRelax, .reason = verdict_.why});
  return actions;
}

// The means that have been reached are used in order, as long as something is missing. The next one is
// reached when the last had its time, or can do nothing.
void MemoryAutopilot::Climb(const MemoryFacts& facts, std::vector<MemoryAction>* actions) {
  const bool ballooned = std::any_of(actions->begin(), actions->end(),
                                     [](const MemoryAction& action) { return action.kind == Kind::kShrink; });
  const uint64_t pending = PendingBytes(facts, *actions);
  uint64_t missing = verdict_.missing_bytes - std::min(verdict_.missing_bytes, pending);
  bool acted = ballooned || pending > 0;
  for (const Rung rung : {Rung::kReclaim, Rung::kMerge, Rung::kLastResort}) {
    if (missing == 0) return;
    if (rung > rung_) {
      if (acted && facts.seconds - reached_ < kRungSeconds) return;
      rung_ = rung;
      reached_ = facts.seconds;
    }
    acted = Take(rung, facts, &missing, actions);
  }
}

bool MemoryAutopilot::Take(Rung rung, const MemoryFacts& facts, uint64_t* missing,
                           std::vector<MemoryAction>* actions) {
  if (rung == Rung::kReclaim) {
    const auto reclaims = reclaim_.Step(
        facts, *missing, policy_, [this](const std::string& guest) { return balloons_.WorkingSetOf(guest); });
    for (const MemoryAction& action : reclaims) *missing -= std::min(*missing, action.bytes);
    actions->insert(actions->end(), reclaims.begin(), reclaims.end());
    return !reclaims.empty();
  }
  if (rung == Rung::kMerge) {
    const bool mergeable =
        facts.ksm && std::any_of(facts.guests.begin(), facts.guests.end(), [](const GuestMemoryFacts& guest) {
          return guest.mergeable && !guest.pinned;
        });
    StepKsm(facts, mergeable, actions);
    return mergeable;
  }
  return Sacrifice(facts, actions);
}

void MemoryAutopilot::StepKsm(const MemoryFacts& facts, bool wanted, std::vector<MemoryAction>* actions) {
  if (!facts.ksm || (facts.ksm->settings.run != 0 && !facts.merging_is_ours)) return;
  const host::KsmSettings next = NextKsm(*facts.ksm, saved_pages_, wanted, facts.nodes);
  if (next == facts.ksm->settings) return;
  actions->push_back({.kind = Kind::kMerge,
                      .ksm = next,
                      .reason = fmt::format("{} saved by merging; {}",
                                            HumanSize(4096 * facts.ksm->pages_sharing), verdict_.why)});
}

// One guest at a time, and then it is seen what that brings: of those whose policy allows it, who has most
// above its reservation; frozen ones give without harm, so they go first.
bool MemoryAutopilot::Sacrifice(const MemoryFacts& facts, std::vector<MemoryAction>* actions) {
  if (!verdict_.severe || facts.seconds - std::max(sacrificed_, reached_) < kRungSeconds) return false;
  const auto above = [](const GuestMemoryFacts& guest) {
    return guest.resident_bytes - std::min(guest.resident_bytes, guest.reserved_bytes);
  };
  const GuestMemoryFacts* victim = nullptr;
  for (const GuestMemoryFacts& guest : facts.guests) {
    if (guest.pinned || guest.frozen || guest.last_resort == LastResort::kNone || above(guest) == 0) continue;
    if (victim == nullptr || guest.last_resort < victim->last_resort ||
        (guest.last_resort == victim->last_resort && above(guest) > above(*victim))) {
      victim = &guest;
    }
  }
  if (victim == nullptr) return false;
  sacrificed_ = facts.seconds;
  actions->push_back({.kind = victim->last_resort == LastResort::kFreeze ? Kind::kFreeze : Kind::kEvict,
                      .guest = victim->guest,
                      .reason = fmt::format("it has {} beyond its reservation; {}", HumanSize(above(*victim)),
                                            verdict_.why)});
  return true;
}

}  // namespace berth::server
