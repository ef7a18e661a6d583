#include "tests/fakes/simulated_host.h"

#include <algorithm>
#include <cmath>

#include "base/bytes.h"

namespace berth::server {
namespace {

constexpr double kTick = 0.25, kInflateASecond = 400, kCacheASecond = 20, kSwapASecond = 200, kHostMib = 64;

uint64_t Bytes(double mib) { return static_cast<uint64_t>(std::max(0.0, mib) * static_cast<double>(kMiB)); }

}  // namespace

SimulatedHost::SimulatedHost(double total_mib, double swap_mib, std::vector<SimulatedGuest> all)
    : guests(std::move(all)), total_mib_(total_mib), swap_mib_(swap_mib) {
  Tick(0);
}

double SimulatedHost::Resident(const SimulatedGuest& guest) const {
  if (guest.evicted) return 0;
  return guest.pinned ? guest.memory_mib : guest.used_mib + guest.cache_mib - guest.swapped_mib;
}

double SimulatedHost::Available() const {
  double left = total_mib_ - kHostMib;
  for (const SimulatedGuest& guest : guests) left -= Resident(guest);
  return left;
}

void SimulatedHost::Tick(double elapsed) {
  double moved = 0;
  for (SimulatedGuest& guest : guests) {
    if (guest.pinned || guest.evicted || guest.frozen) continue;
    const double need = std::min(guest.need_mib(seconds), guest.memory_mib);
    guest.used_mib = need;
    // The guest's driver gives way before the guest kills something (VIRTIO_BALLOON_F_DEFLATE_ON_OOM).
    guest.actual_mib = std::min(guest.actual_mib, guest.memory_mib - need);
    guest.actual_mib = std::max(
        std::min(guest.actual_mib, guest.target_mib),
        std::min({guest.target_mib, guest.actual_mib + kInflateASecond * elapsed, guest.memory_mib - need}));
    const double room = guest.memory_mib - guest.actual_mib - need;
    guest.cache_mib = std::min(guest.cache_mib + kCacheASecond * elapsed, room / 2);
    guest.swapped_mib = std::min(guest.swapped_mib, guest.used_mib + guest.cache_mib);
    // What is in use comes back.
    const double hot = std::max(0.0, guest.swapped_mib - guest.idle_part * need);
    const double back = std::min(hot, kSwapASecond * elapsed / 4);
    guest.swapped_mib -= back;
    guest.refaulted_mib += back;
    moved += back;
  }
  double missing = -Available(), swapped = 0;
  for (const SimulatedGuest& guest : guests) swapped += guest.swapped_mib;
  while (missing > 0) {
    const auto largest = std::max_element(guests.begin(), guests.end(), [&](const auto& a, const auto& b) {
      return (a.pinned ? 0 : Resident(a)) < (b.pinned ? 0 : Resident(b));
    });
    const double out = std::min({missing, swap_mib_ - swapped, largest->pinned ? 0 : Resident(*largest)});
    if (out < 0.01) break;
    largest->swapped_mib += out;
    missing -= out;
    moved += out;
    swapped += out;
  }
  if (missing > 0.01) ++out_of_memory;
  const double stalled = std::min(1.0, moved / kSwapASecond / std::max(elapsed, kTick));
  stalled_us_ += stalled * elapsed * 1e6;
  const double kept = std::exp(-elapsed / 10);
  pressure_percent_ = pressure_percent_ * kept + 100 * stalled * (1 - kept);
  if (ksm_.settings.run == 1) ksm_.pages_sharing = std::min<uint64_t>(ksm_.pages_sharing + 100, 2000);
}

void SimulatedHost::Advance(double time) {
  for (const double end = seconds + time; seconds < end - kTick / 2;) {
    seconds += kTick;
    Tick(kTick);
  }
}

MemoryFacts SimulatedHost::Facts() const {
  double swapped = 0;
  for (const SimulatedGuest& guest : guests) swapped += guest.swapped_mib;
  MemoryFacts facts{.seconds = seconds,
                    .total_bytes = Bytes(total_mib_),
                    .available_bytes = Bytes(Available()),
                    .swap_free_bytes = Bytes(swap_mib_ - swapped),
                    .pressure = host::Pressure{.some = {.percent = pressure_percent_,
                                                        .total_us = static_cast<uint64_t>(stalled_us_)}},
                    .ksm = ksm_,
                    .merging_is_ours = merging_,
                    .nodes = 2};
  for (const SimulatedGuest& guest : guests) {
    if (guest.evicted) continue;
    GuestMemoryFacts& fact =
        facts.guests.emplace_back(GuestMemoryFacts{.guest = guest.name,
                                                   .memory_bytes = Bytes(guest.memory_mib),
                                                   .reserved_bytes = Bytes(guest.reserved_mib),
                                                   .pinned = guest.pinned,
                                                   .mergeable = guest.mergeable,
                                                   .frozen = guest.frozen,
                                                   .last_resort = guest.last_resort,
                                                   .resident_bytes = Bytes(Resident(guest)),
                                                   .swapped_bytes = Bytes(guest.swapped_mib),
                                                   .refaulted_pages = Bytes(guest.refaulted_mib) / 4096});
    if (!guest.balloon || guest.pinned) continue;
    fact.balloon =
        BalloonFacts{.target_bytes = Bytes(guest.target_mib),
                     .actual_bytes = Bytes(guest.actual_mib),
                     .available_bytes = Bytes(guest.memory_mib - guest.actual_mib - guest.used_mib)};
  }
  return facts;
}

void SimulatedHost::Do(const MemoryAction& action) {
  const auto guest = std::find_if(guests.begin(), guests.end(),
                                  [&](const SimulatedGuest& one) { return one.name == action.guest; });
  const double mib = static_cast<double>(action.bytes) / static_cast<double>(kMiB);
  switch (action.kind) {
    case MemoryAction::Kind::kShrink:
    case MemoryAction::Kind::kGrow:
      guest->target_mib = mib;
      break;
    case MemoryAction::Kind::kReclaim:
      guest->swapped_mib += mib;
      break;
    case MemoryAction::Kind::kMerge:
      ksm_.settings = action.ksm;
      merging_ = true;
      break;
    case MemoryAction::Kind::kFreeze:
    case MemoryAction::Kind::kThaw:
      guest->frozen = action.kind == MemoryAction::Kind::kFreeze;
      break;
    case MemoryAction::Kind::kEvict:
      guest->evicted = true;
      guest->swapped_mib = 0;
      break;
    case MemoryAction::Kind::kTell:
    case MemoryAction::Kind::kRelax:
      break;
  }
}

void SimulatedHost::Run(MemoryAutopilot& autopilot, double end_seconds, double interval_seconds) {
  while (seconds < end_seconds) {
    Advance(interval_seconds);
    const MemoryFacts facts = Facts();
    for (const MemoryAction& action : autopilot.Step(facts)) {
      log.push_back({seconds, action, facts});
      Do(action);
    }
  }
}

}  // namespace berth::server
