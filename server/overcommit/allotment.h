// How memory is divided among guests that together were sold more than there is. Pure.
#pragma once

#include <cstdint>
#include <vector>

namespace berth::server {

struct AllotmentDemand {
  uint64_t memory_bytes = 0;
  uint64_t reserved_bytes = 0;  // At most memory_bytes.
  uint64_t wanted_bytes = 0;    // To be comfortable: the working set, and room to grow into.
  int shares = 100;
};

// For each guest its part of the pool: first what is reserved, then what is wanted, then the rest, each by
// shares and by what is missing. Never less than the reservation, whatever the pool, nor more than its
// memory; in all never more than the pool or the reservations, whichever is larger; a larger pool is nobody's
// loss.
std::vector<uint64_t> Divide(uint64_t pool_bytes, const std::vector<AllotmentDemand>& demands);

}  // namespace berth::server
