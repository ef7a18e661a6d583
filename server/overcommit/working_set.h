// How much memory a guest needs, from what its balloon's statistics say.
#pragma once

#include <cstdint>

#include "server/overcommit/memory_facts.h"

namespace berth::server {

// What it cannot give up without swapping. Without statistics, what it has in memory and in swap.
uint64_t NeededBytes(const GuestMemoryFacts& guest);

// Follows a guest's need up at once, and down with a half-life: what was needed lately is needed again soon.
class WorkingSet {
 public:
  static constexpr double kHalfLifeSeconds = 60;

  // `seconds` never goes back. The estimate.
  uint64_t Update(double seconds, uint64_t needed_bytes);

 private:
  double seconds_ = 0;
  double bytes_ = 0;
};

}  // namespace berth::server
