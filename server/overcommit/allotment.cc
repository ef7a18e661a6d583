#include "server/overcommit/allotment.h"

#include <algorithm>
#include <cmath>

namespace berth::server {
namespace {

// Raises each part towards its ceiling, by weight times what is missing, until the pool is used up: the one
// `level` at which they take it all, where a part is filled to min(1, level * shares) of what it misses.
void Fill(const std::vector<AllotmentDemand>& demands, const std::vector<uint64_t>& ceilings,
          std::vector<uint64_t>* parts, uint64_t* pool) {
  const auto taken_at = [&](double level) {
    double taken = 0;
    for (size_t i = 0; i < demands.size(); ++i)
      taken += static_cast<double>(ceilings[i] - (*parts)[i]) *
               std::min(1.0, level * std::max(demands[i].shares, 1));
    return taken;
  };
  double low = 0, high = 1;  // At 1 everybody has all: shares are whole numbers.
  if (taken_at(high) > static_cast<double>(*pool)) {
    constexpr int kSteps = 50;  // Half a page of a petabyte.
    for (int step = 0; step < kSteps; ++step) {
      const double middle = (low + high) / 2;
      (taken_at(middle) > static_cast<double>(*pool) ? high : low) = middle;
    }
  } else {
    low = high;
  }
  for (size_t i = 0; i < demands.size(); ++i) {
    const double missing = static_cast<double>(ceilings[i] - (*parts)[i]);
    const auto part = static_cast<uint64_t>(missing * std::min(1.0, low * std::max(demands[i].shares, 1)));
    const uint64_t taken = std::min(part, *pool);
    (*parts)[i] += taken;
    *pool -= taken;
  }
}

}  // namespace

std::vector<uint64_t> Divide(uint64_t pool_bytes, const std::vector<AllotmentDemand>& demands) {
  std::vector<uint64_t> parts, wanted, all;
  for (const AllotmentDemand& demand : demands) {
    const uint64_t reserved = std::min(demand.reserved_bytes, demand.memory_bytes);
    parts.push_back(reserved);
    wanted.push_back(std::clamp(demand.wanted_bytes, reserved, demand.memory_bytes));
    all.push_back(demand.memory_bytes);
    pool_bytes -= std::min(pool_bytes, reserved);
  }
  Fill(demands, wanted, &parts, &pool_bytes);
  Fill(demands, all, &parts, &pool_bytes);
  return parts;
}

}  // namespace berth::server
