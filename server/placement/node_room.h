// What of a host's nodes is left beside what running guests were promised.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "host/cpu_set.h"
#include "host/snapshot.h"
#include "server/placement/placement.h"

namespace berth::server {

struct NodeRoom {
  int id = 0;
  // Online CPUs that are not dedicated to a guest; those kept from the scheduler (isolcpus) only for
  // dedication.
  host::CpuSet dedicable_cpus;
  host::CpuSet shared_cpus;
  uint64_t memory_bytes = 0;  // In pages of the size asked for.
  bool has_page_size = false;
};

// By node id.
std::vector<NodeRoom> RoomOf(const host::HostSnapshot& host, const Ledger& ledger, uint64_t page_size_bytes);

// `count` CPUs out of `free`, `threads` of one core next to each other; empty if there are not as many. Takes
// broken cores before whole ones where single threads are asked for, so that whole cores remain.
std::vector<int> PickCpus(const host::CpuTopology& topology, const host::CpuSet& free, int count,
                          int threads);

}  // namespace berth::server
