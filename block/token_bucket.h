// How much may be used by when: a rate with room for bursts. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace berth::block {

// Holds up to `burst` units and gains `rate` units a second. Whoever finds a unit in it may take
// more than there is, so that a use of more than a burst can begin at all; the next waits for the debt.
class TokenBucket {
 public:
  using Time = std::chrono::steady_clock::time_point;

  TokenBucket() = default;  // No limit.
  // A rate of 0: no limit. A burst of 0: of a tenth of a second, at least 1.
  TokenBucket(uint64_t rate, uint64_t burst, Time now)
      : rate_(rate),
        burst_(static_cast<double>(burst != 0 ? burst : std::max<uint64_t>(rate / 10, 1))),
        level_(burst_),
        filled_(now) {}

  // When a unit may be taken: `now`, or later.
  Time NextAt(Time now) {
    Fill(now);
    if (rate_ == 0 || level_ >= 1) return now;
    const double seconds = (1 - level_) / static_cast<double>(rate_);
    return now + std::chrono::ceil<Time::duration>(std::chrono::duration<double>(seconds));
  }
  void Take(uint64_t units) {
    if (rate_ != 0) level_ -= static_cast<double>(units);
  }

 private:
  void Fill(Time now) {
    const double seconds = std::chrono::duration<double>(now - filled_).count();
    level_ = std::min(burst_, level_ + seconds * static_cast<double>(rate_));
    filled_ = now;
  }

  uint64_t rate_ = 0;
  double burst_ = 0;
  double level_ = 0;
  Time filled_{};
};

}  // namespace berth::block
