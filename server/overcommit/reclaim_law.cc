#include "server/overcommit/reclaim_law.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/error.h"

namespace berth::server {
namespace {

constexpr uint64_t kPage = 4096, kLeastStep = kMiB;

// Of a page that is swapped, how much of it is free then: zswap keeps some of it in memory, compressed.
double Freed(const MemoryFacts& facts) {
  if (facts.zswapped_bytes == 0) return 1;
  return 1 - std::min(1.0, static_cast<double>(facts.zswap_pool_bytes) /
                               static_cast<double>(facts.zswapped_bytes));
}

}  // namespace

// Judges the last reclaim by what came of it.
bool ReclaimLaw::LeftAlone(const GuestMemoryFacts& guest, double seconds, const MemoryPolicy& policy) {
  Guest& known = guests_[guest.guest];
  const uint64_t back = guest.refaulted_pages - std::min(guest.refaulted_pages, known.refaulted_pages);
  const bool regretted = known.reclaimed_pages > 0 && back > known.reclaimed_pages / kRefaultPart;
  if (regretted || guest.pressure.full.percent > policy.pressure_percent) {
    known.left_alone_until = seconds + kBackOffSeconds;
    known.reclaimed_pages = 0;
  }
  return seconds < known.left_alone_until && !guest.frozen;
}

std::vector<MemoryAction> ReclaimLaw::Step(const MemoryFacts& facts, uint64_t missing_bytes,
                                           const MemoryPolicy& policy,
                                           const std::function<uint64_t(const std::string&)>& working_set) {
  std::erase_if(guests_, [&](const auto& known) {
    return std::none_of(facts.guests.begin(), facts.guests.end(),
                        [&](const GuestMemoryFacts& guest) { return guest.guest == known.first; });
  });
  // By what guests say of themselves first. What they call needed the kernel may find idle all the same, and
  // what comes back tells; nothing is known of guests without statistics.
  struct Candidate {
    const GuestMemoryFacts* guest;
    bool unasked;
    uint64_t idle_bytes, most_bytes;
  };
  std::vector<Candidate> candidates;
  for (const GuestMemoryFacts& guest : facts.guests) {
    if (guest.pinned || LeftAlone(guest, facts.seconds, policy)) continue;
    const uint64_t above = guest.resident_bytes - std::min(guest.resident_bytes, guest.reserved_bytes);
    if (guest.frozen) {
      candidates.push_back({&guest, false, above, above});
      continue;
    }
    const uint64_t needed = guest.balloon ? working_set(guest.guest) : guest.memory_bytes;
    const uint64_t idle = std::min(above, guest.resident_bytes - std::min(guest.resident_bytes, needed));
    const uint64_t step = guest.memory_bytes / kStepPart;
    candidates.push_back(
        {&guest, idle < kLeastStep, idle < kLeastStep ? above : idle, idle < kLeastStep ? step / 2 : step});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.unasked, b.idle_bytes, a.guest->guest) <
           std::tie(b.unasked, a.idle_bytes, b.guest->guest);
  });

  std::vector<MemoryAction> actions;
  const double freed = Freed(facts);
  constexpr double kWorthwhile = 0.2;
  if (freed < kWorthwhile) return actions;
  auto wanted = static_cast<uint64_t>(static_cast<double>(missing_bytes) / freed);
  uint64_t room = facts.swap_free_bytes / 2;
  for (const auto& [guest, unasked, idle, most] : candidates) {
    const uint64_t bytes = AlignDown(std::min({idle, most, wanted, room}), kPage);
    if (bytes < kLeastStep) continue;
    wanted -= bytes;
    room -= bytes;
    Guest& known = guests_[guest->guest];
    known.reclaimed_pages = bytes / kPage;
    known.refaulted_pages = guest->refaulted_pages;
    actions.push_back(
        {.kind = MemoryAction::Kind::kReclaim,
         .guest = guest->guest,
         .bytes = bytes,
         .reason = fmt::format("{} of its {} in memory {}", HumanSize(idle), HumanSize(guest->resident_bytes),
                               unasked ? "are not reserved" : "seem idle")});
  }
  return actions;
}

}  // namespace berth::server
