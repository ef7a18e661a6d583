// The host's memory, by NUMA node: /sys/devices/system/node, /proc/meminfo.
#pragma once

#include <cstdint>
#include <vector>

#include "host/cpu_set.h"
#include "host/roots.h"

namespace berth::host {

struct HugePagePool {
  uint64_t page_size_bytes = 0;
  uint64_t total_pages = 0;
  uint64_t free_pages = 0;
  uint64_t surplus_pages = 0;

  friend bool operator==(const HugePagePool&, const HugePagePool&) = default;
};

struct NumaNode {
  int id = 0;   // As the kernel numbers it; numbers need not be consecutive.
  CpuSet cpus;  // May be empty: nodes of memory alone exist.
  uint64_t memory_total_bytes = 0;
  uint64_t memory_free_bytes = 0;
  // Free, or in use by the page cache only (Inactive(file)): what a guest could get without swapping.
  uint64_t memory_available_bytes = 0;
  std::vector<HugePagePool> huge_pages;  // By page size.
  // Distance to every node, as in the SLIT, in the order of MemoryTopology::nodes; empty if unknown.
  std::vector<int> distances;
};

struct MemoryTopology {
  // By id. A host whose kernel knows no NUMA has one node 0 with all CPUs and memory.
  std::vector<NumaNode> nodes;
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;
  uint64_t default_huge_page_bytes = 0;

  const NumaNode* Find(int id) const;
};

// Never fails: what cannot be read is left out.
MemoryTopology ReadMemory(const HostRoots& roots);

}  // namespace berth::host
