#include "server/overcommit/balloon_law.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/error.h"
#include "server/overcommit/allotment.h"

namespace berth::server {
namespace {

bool HasBalloon(const GuestMemoryFacts& guest) { return guest.balloon && !guest.pinned && !guest.frozen; }

// What guests with a balloon may use together. Others take what they take; a part of what they could still
// take is left to them.
uint64_t PoolOf(const MemoryFacts& facts, uint64_t reserve_bytes) {
  uint64_t there = facts.available_bytes, kept = reserve_bytes;
  for (const GuestMemoryFacts& guest : facts.guests) {
    const uint64_t has = guest.resident_bytes + guest.swapped_bytes;
    if (HasBalloon(guest)) {
      there += has;
    } else {
      kept += std::min(guest.memory_bytes - std::min(guest.memory_bytes, has), guest.memory_bytes / 16);
    }
  }
  return there - std::min(there, kept);
}

}  // namespace

void BalloonLaw::Learn(const MemoryFacts& facts) {
  std::map<std::string, Guest> now;
  for (const GuestMemoryFacts& guest : facts.guests) {
    Guest& known = now[guest.guest] = guests_[guest.guest];
    known.needed_bytes = known.working_set.Update(facts.seconds, NeededBytes(guest));
  }
  guests_ = std::move(now);
}

std::vector<MemoryAction> BalloonLaw::Step(const MemoryFacts& facts, const ShortageLaw::Verdict& shortage) {
  Learn(facts);
  std::vector<const GuestMemoryFacts*> asked;
  std::vector<AllotmentDemand> demands;
  uint64_t needed = 0;
  for (const GuestMemoryFacts& guest : facts.guests) {
    if (!HasBalloon(guest)) continue;
    asked.push_back(&guest);
    needed += WorkingSetOf(guest.guest);
    demands.push_back({.memory_bytes = std::min(guest.memory_bytes, guest.limit_bytes),
                       .reserved_bytes = guest.reserved_bytes,
                       .wanted_bytes = WorkingSetOf(guest.guest) + guest.memory_bytes / kRoomPart,
                       .shares = guest.shares});
  }
  // Swap is for what is needed and does not fit, not for what guests would cache.
  const uint64_t pool = std::clamp(needed, PoolOf(facts, shortage.reserve_bytes),
                                   PoolOf(facts, shortage.reserve_bytes) + facts.swap_free_bytes / 2);
  const std::vector<uint64_t> parts = Divide(pool, demands);

  std::vector<MemoryAction> actions;
  for (size_t i = 0; i < asked.size(); ++i) {
    const GuestMemoryFacts& guest = *asked[i];
    Guest& known = guests_[guest.guest];
    const uint64_t memory = guest.memory_bytes;
    const uint64_t has = memory - std::min(memory, guest.balloon->target_bytes);
    const uint64_t step = memory / kStepPart;
    uint64_t to = parts[i];
    MemoryAction action{.guest = guest.guest};
    const bool in_need = has < memory && NeededBytes(guest) + memory / kDeadPart > has;
    if (to > has) {
      if (!in_need) {
        if (facts.seconds - known.shrunk < kHoldSeconds || shortage.is_short) continue;
        to = std::min(to, has + step);
      }
      if (to - has < memory / kDeadPart && to < memory) continue;
      known.grown = facts.seconds;
      action.kind = MemoryAction::Kind::kGrow;
      action.reason = in_need ? "the guest is short of memory" : "there is room";
    } else {
      if (facts.seconds - known.grown < kHoldSeconds && !shortage.is_short) continue;
      const uint64_t most = shortage.severe ? 2 * step : step;
      to = std::max(to, has - std::min(has, most));
      if (has - to < memory / kDeadPart) continue;
      known.shrunk = facts.seconds;
      action.kind = MemoryAction::Kind::kShrink;
      action.reason = shortage.is_short         ? shortage.why
                      : has > guest.limit_bytes ? "that is its limit"
                                                : "guests could use more than there is";
    }
    action.bytes = memory - to;
    action.reason = fmt::format("{} of {}, of which it needs {}: {}", HumanSize(to), HumanSize(memory),
                                HumanSize(std::min(memory, known.needed_bytes)), action.reason);
    actions.push_back(std::move(action));
  }
  return actions;
}

}  // namespace berth::server
