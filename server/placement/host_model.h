// The host as placement sees it: dense numbers instead of names, everything looked up once.
#pragma once

#include <cstdint>
#include <vector>

#include "host/snapshot.h"
#include "server/placement/cpu_pools.h"
#include "server/placement/request.h"

namespace berth::server {

// A set of node indices.
using NodeMask = uint64_t;
inline constexpr int kMaxHostNodes = 64;      // More are left alone.
inline constexpr int kMaxThreadsPerCore = 8;  // More of one core count as another core.
inline constexpr uint64_t kOrdinaryPageBytes = 4096;

struct HostModel {
  struct Core {
    int node = 0;   // Index.
    int cache = 0;  // Lowest CPU of those that share its last-level cache.
    CoreKind kind = CoreKind::kPerformance;
    std::vector<int> cpus;  // Online threads.
    uint8_t dedicable = 0;  // Of these, by position.
  };
  struct Pages {
    uint64_t size_bytes = kOrdinaryPageBytes;
    uint64_t total_bytes = 0;      // What guests may be promised.
    uint64_t available_bytes = 0;  // Right now.
  };
  struct Node {
    int id = 0;
    std::vector<Pages> pages;  // Ordinary ones first.
    std::vector<int> cores;    // Indices.
    host::CpuSet shared_cpus;
    int devices = 0;             // That guests would want.
    std::vector<int> distances;  // To every node index; 10 and 20 if the host does not say.
  };
  std::vector<Node> nodes;
  std::vector<Core> cores;
  std::vector<int> core_of_cpu;  // By CPU; -1: none that guests may have.
  int threads_per_core = 1;      // The most that a core has.
  bool common_pool = false;      // See ResolvedCpuPools.

  int IndexOfNode(int id) const;  // -1: none such.
};

// What is kept back for the host on each node: the smaller of this and a twentieth of the node.
inline constexpr uint64_t kHostReserveBytes = uint64_t{512} << 20;

HostModel MakeHostModel(const host::HostSnapshot& host, const CpuPools& pools);

}  // namespace berth::server
