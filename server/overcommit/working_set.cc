#include "server/overcommit/working_set.h"

#include <algorithm>
#include <cmath>

namespace berth::server {

uint64_t NeededBytes(const GuestMemoryFacts& guest) {
  if (!guest.balloon) return std::min(guest.memory_bytes, guest.resident_bytes + guest.swapped_bytes);
  const uint64_t given = std::min(guest.balloon->actual_bytes, guest.memory_bytes);
  const uint64_t left = guest.memory_bytes - given;
  return left - std::min(left, guest.balloon->available_bytes);
}

uint64_t WorkingSet::Update(double seconds, uint64_t needed_bytes) {
  const auto needed = static_cast<double>(needed_bytes);
  const double kept = std::exp2(-std::max(0.0, seconds - seconds_) / kHalfLifeSeconds);
  bytes_ = std::max(needed, needed + (bytes_ - needed) * kept);
  seconds_ = seconds;
  return static_cast<uint64_t>(bytes_);
}

}  // namespace berth::server
