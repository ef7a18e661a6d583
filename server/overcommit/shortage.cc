#include "server/overcommit/shortage.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/error.h"

namespace berth::server {
namespace {

// Above so many times what should be available, tasks wait for something else: for a limit of their own.
constexpr uint64_t kPlenty = 3;
// Under pressure the reserve grows by a hundredth of the host in ten seconds, at most to twice the policy's;
// without, it shrinks a third as fast.
constexpr double kRaiseASecond = 0.001, kLowerASecond = kRaiseASecond / 3;
constexpr double kShortestInterval = 0.9;  // For a share of time that means something.

}  // namespace

// The share of the last interval is there sooner than the kernel's mean of ten seconds, which stays longer.
double ShortageLaw::PressureOf(const MemoryFacts& facts) const {
  if (!facts.pressure) return 0;
  const double elapsed = facts.seconds - seconds_;
  const host::Stall& some = facts.pressure->some;
  if (seconds_ == 0 || elapsed < kShortestInterval || some.total_us < stalled_us_) return some.percent;
  const double share = static_cast<double>(some.total_us - stalled_us_) / (elapsed * 1e4);
  return std::max(some.percent, std::min(share, 100.0));
}

ShortageLaw::Verdict ShortageLaw::Step(const MemoryFacts& facts) {
  const uint64_t kept = facts.total_bytes / 100 * static_cast<uint64_t>(policy_.available_percent);
  const double bound = policy_.pressure_percent;
  const double elapsed = seconds_ == 0 ? 0 : std::max(0.0, facts.seconds - seconds_);
  Verdict verdict{.pressure_percent = PressureOf(facts)};
  seconds_ = facts.seconds;
  if (facts.pressure) stalled_us_ = facts.pressure->some.total_us;

  const double pressure = facts.available_bytes < kPlenty * kept ? verdict.pressure_percent : 0;
  const bool pressed = pressure > bound;
  const bool empty = facts.available_bytes < kept / 2;
  const bool well = pressure < bound / 2 && facts.available_bytes >= kept / 4 * 3;

  raised_ += elapsed * (pressed ? kRaiseASecond : -kLowerASecond);
  raised_ = std::clamp(raised_, 0.0, policy_.available_percent / 100.0);
  verdict.reserve_bytes = kept + static_cast<uint64_t>(raised_ * static_cast<double>(facts.total_bytes));

  if (!well) calm_since_ = facts.seconds;
  if (!short_ && (pressed || empty)) {
    short_ = verdict.began = true;
  } else if (short_ && facts.seconds - calm_since_ >= kCalmSeconds) {
    short_ = false;
    verdict.ended = true;
  }
  verdict.is_short = short_;
  verdict.severe = short_ && (facts.available_bytes < kept / 4 || pressure > 2 * bound);
  if (short_) {
    const uint64_t to_fill = kept - std::min(kept, facts.available_bytes);
    const double excess = pressed ? std::min(pressure / bound, 4.0) / 64 : 0;
    verdict.missing_bytes =
        std::max(to_fill, static_cast<uint64_t>(excess * static_cast<double>(facts.total_bytes)));
  }
  verdict.why = fmt::format("{} of {} available where {} are kept, pressure {:.1f}% where {}% are allowed",
                            HumanSize(facts.available_bytes), HumanSize(facts.total_bytes), HumanSize(kept),
                            verdict.pressure_percent, policy_.pressure_percent);
  return verdict;
}

}  // namespace berth::server
