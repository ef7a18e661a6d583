// Where on the host a guest goes: data in, data out.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "host/cpu_set.h"
#include "host/snapshot.h"

namespace berth::server {

// What a guest wants. Counts and sizes were checked (server/guest/spec_check.h).
struct PlacementRequest {
  struct Node {
    uint64_t size_bytes = 0;
    std::vector<int> vcpus;
  };
  int vcpu_count = 0;
  int threads_per_core = 1;
  uint64_t page_size_bytes = 4096;
  std::vector<Node> nodes;        // At least one.
  std::vector<int> host_nodes;    // Only these; empty: any.
  bool dedicated_cpus = false;    // A host CPU for each vCPU alone.
  std::vector<int> host_cpus;     // Exactly these, by vCPU; empty: any. Implies dedicated_cpus.
  std::vector<int> device_nodes;  // Host node of each assigned device that has one.
};

// What a running guest has been promised.
struct Reservation {
  std::string guest;            // "guests/a"
  host::CpuSet dedicated_cpus;  // Nobody else's.
  struct Memory {
    int host_node = 0;
    uint64_t page_size_bytes = 4096;
    uint64_t size_bytes = 0;
  };
  std::vector<Memory> memory;
};
using Ledger = std::vector<Reservation>;

struct Placement {
  std::vector<host::CpuSet> vcpus;             // For each vCPU the CPUs it may run on.
  std::vector<std::vector<int>> memory_nodes;  // For each guest node the host nodes of its memory.

  // All CPUs, and all nodes.
  host::CpuSet AllCpus() const;
  host::CpuSet AllNodes() const;
};

// What is kept back for the host on each node: the smaller of this and a twentieth of the node.
inline constexpr uint64_t kHostReserveBytes = uint64_t{512} << 20;

// A guest without wishes goes to the node nearest to its devices, and of those to the one with the most
// memory left; to several only if no single one has room. Refusals carry the reason for each node in their
// metadata ("node0").
//   RESOURCE_EXHAUSTED: NOT_ENOUGH_HOST_CPUS, NOT_ENOUGH_MEMORY, NOT_ENOUGH_HUGE_PAGES.
//   FAILED_PRECONDITION: HOST_CPU_IN_USE (dedicated to another guest), HOST_CPU_OFFLINE,
//   HUGE_PAGE_SIZE_NOT_SUPPORTED. NOT_FOUND: HOST_CPU_NOT_FOUND, HOST_NODE_NOT_FOUND.
Result<Placement> Place(const host::HostSnapshot& host, const Ledger& ledger,
                        const PlacementRequest& request);

// What the ledger holds once a guest is placed so. Memory of a guest node on several host nodes counts
// evenly.
Reservation Reserve(const std::string& guest, const PlacementRequest& request, const Placement& placement);

}  // namespace berth::server
