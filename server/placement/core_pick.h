// Which of a node's CPUs a guest's dedicated vCPUs get.
#pragma once

#include <vector>

#include "server/placement/demand.h"
#include "server/placement/host_room.h"

namespace berth::server {

struct CorePick {
  std::vector<int> vcpus;    // For each vCPU its CPU; threads of one core next to each other.
  std::vector<int> helpers;  // For other threads.
  std::vector<int> idle;     // Kept so.
};

// Takes them out of `free` (HostRoom::free). Whole cores go to vCPUs as many as fill them, out of as few
// caches as possible; what is left over, and helpers, go to cores that are broken already. The node has room
// (LacksOf).
CorePick PickCores(const HostModel& model, int node, const Demand& demand, const CpuShape& shape,
                   std::vector<uint8_t>* free);

}  // namespace berth::server
