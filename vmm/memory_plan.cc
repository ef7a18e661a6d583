#include "vmm/memory_plan.h"

#include <algorithm>

namespace berth::vmm {

std::vector<RamPiece> PlanRam(const std::vector<uint64_t>& node_sizes, const hw::AddressMap& addresses) {
  std::vector<RamPiece> pieces;
  uint64_t at = 0;  // In RAM, as if there were no hole.
  for (uint32_t node = 0; node < node_sizes.size(); ++node) {
    for (uint64_t done = 0; done < node_sizes[node];) {
      const bool low = at < addresses.low_ram.size;
      const uint64_t left = node_sizes[node] - done;
      const uint64_t size = low ? std::min(left, addresses.low_ram.size - at) : left;
      const uint64_t address = low ? at : addresses.high_ram.start + (at - addresses.low_ram.size);
      pieces.push_back({node, address, done, size});
      done += size;
      at += size;
    }
  }
  return pieces;
}

}  // namespace berth::vmm
