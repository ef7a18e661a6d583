// How the guest's NUMA nodes are laid out in its address space. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "hw/memory/address_map.h"

namespace berth::vmm {

// A run of guest RAM that one node's block backs.
struct RamPiece {
  uint32_t node = 0;
  uint64_t guest_address = 0;
  uint64_t block_offset = 0;
  uint64_t size = 0;
  friend bool operator==(const RamPiece&, const RamPiece&) = default;
};

// Nodes follow each other in order; the node in which the 32-bit hole falls is cut there.
std::vector<RamPiece> PlanRam(const std::vector<uint64_t>& node_sizes, const hw::AddressMap& addresses);

}  // namespace berth::vmm
