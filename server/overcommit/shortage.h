// Whether a host is short of memory, and how much of it should be got back. Pressure (PSI) is the main
// signal.
#pragma once

#include <cstdint>
#include <string>

#include "server/overcommit/memory_facts.h"

namespace berth::server {

class ShortageLaw {
 public:
  // It is over when all has been well for so long.
  static constexpr double kCalmSeconds = 30;

  explicit ShortageLaw(const MemoryPolicy& policy) : policy_(policy) {}

  struct Verdict {
    bool is_short = false, began = false, ended = false;
    bool severe = false;  // Nearly nothing is left, or tasks wait twice as long as they may.
    double pressure_percent = 0;
    uint64_t missing_bytes = 0;  // To be got back now.
    // To be kept available: more than the policy says while there is pressure all the same.
    uint64_t reserve_bytes = 0;
    std::string why;  // The numbers.
  };
  // `facts.seconds` never goes back.
  Verdict Step(const MemoryFacts& facts);

 private:
  double PressureOf(const MemoryFacts& facts) const;

  const MemoryPolicy policy_;
  bool short_ = false;
  double calm_since_ = 0;
  double raised_ = 0;  // Of the whole: how much more than the policy's is kept.
  double seconds_ = 0;
  uint64_t stalled_us_ = 0;
};

}  // namespace berth::server
