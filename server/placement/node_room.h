// One host node's room for a guest of a given shape, and whether a guest node fits into it: arithmetic on a
// few numbers, so that trying many nodes costs little.
#pragma once

#include <array>
#include <cstdint>

#include "server/placement/demand.h"
#include "server/placement/host_room.h"

namespace berth::server {

// What a node lacks, one or several.
enum Lack : unsigned {
  kLackCpus = 1,
  kLackCores = 2,
  kLackSharedCpus = 4,
  kLackMemory = 8,
  kLackHugePages = 16,
  kLackHostNode = 32,  // The guest node asked for another.
};

struct NodeRoom {
  int threads = 0;      // Free and dedicable, of the kind asked for.
  int groups = 0;       // Disjoint groups of `group` of them.
  int whole_cores = 0;  // All of whose threads are free.
  std::array<int, kMaxThreadsPerCore + 1> whole_by_threads{};
  int sharable = 0;              // CPUs that guests share now; with a common pool, all that are free.
  int64_t shared_millicpus = 0;  // Promised of these.
  bool common_pool = false;
  uint64_t bytes = 0;           // In pages of the size asked for.
  uint64_t ordinary_bytes = 0;  // In ordinary ones.
  bool has_page_size = false;
  int devices = 0;

  // CPUs that can be dedicated without breaking what was promised to guests that share.
  int dedicable() const;
};

NodeRoom Summarize(const HostModel& model, const HostRoom& room, int node, const CpuShape& shape,
                   uint64_t page_size_bytes);

// Threads that the dedicated vCPUs use up, those kept idle included, if there are as many cores.
int ThreadsUsed(const NodeRoom& room, const Demand& demand, const CpuShape& shape);

// 0 if it fits.
unsigned LacksOf(const NodeRoom& room, const Demand& demand, const CpuShape& shape, uint64_t page_size_bytes);

// What is left.
NodeRoom After(NodeRoom room, const Demand& demand, const CpuShape& shape, uint64_t page_size_bytes,
               int threads_per_core);

}  // namespace berth::server
