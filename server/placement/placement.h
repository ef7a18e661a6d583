// Where on the host a guest goes: data in, data out. docs/placement.md has the formulas.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "host/cpu_set.h"
#include "host/snapshot.h"
#include "server/placement/cpu_pools.h"
#include "server/placement/ledger.h"
#include "server/placement/request.h"

namespace berth::server {

struct Placement {
  struct Memory {
    int host_node = 0;
    uint64_t size_bytes = 0;
  };
  struct Node {
    std::vector<Memory> memory;  // By host node.
    std::vector<int> vcpus;
    std::vector<int> distances;  // To every guest node, as the host's are; 10 to itself.
  };
  // With a key from the candidates; for each DeviceRequest.
  struct Device {
    std::string key;
    std::optional<int> host_node;
    int guest_node = 0;  // The nearest.
  };
  std::vector<host::CpuSet> vcpus;  // For each vCPU the CPUs it may run on; one if it is dedicated.
  std::vector<Node> nodes;          // The guest's.
  int threads_per_core = 1;         // What the guest can be told without lying.
  host::CpuSet emulator;
  std::vector<host::CpuSet> io_threads;
  std::vector<Device> devices;
  Reservation reservation;  // For the ledger.

  // All CPUs, and all nodes.
  host::CpuSet AllCpus() const;
  host::CpuSet AllNodes() const;
};

// Chooses the fewest host nodes that hold the guest, of these the nearest to its devices, and of these what
// leaves most room for others. The same input gives the same answer, and whatever fits is found. Refusals say
// for each host node what it lacks in their metadata ("node0").
//   RESOURCE_EXHAUSTED: NOT_ENOUGH_HOST_CPUS, NOT_ENOUGH_WHOLE_CORES, NOT_ENOUGH_SHARED_CPUS,
//   NOT_ENOUGH_MEMORY, NOT_ENOUGH_HUGE_PAGES, NOT_ENOUGH_DEVICES, HOST_TOO_FRAGMENTED (in all there is
//   enough). FAILED_PRECONDITION: HOST_CPU_IN_USE (dedicated to another guest), HOST_CPU_OFFLINE,
//   HOST_CPU_NOT_DEDICABLE, HUGE_PAGE_SIZE_NOT_SUPPORTED, CORE_KIND_NOT_FOUND, NO_HOST_THREADS,
//   DEVICE_AFFINITY_NOT_MET, GUESTS_NOT_APART.
//   NOT_FOUND: HOST_CPU_NOT_FOUND, HOST_NODE_NOT_FOUND. INVALID_ARGUMENT: BAD_PLACEMENT.
Result<Placement> Place(const host::HostSnapshot& host, const Ledger& ledger, const PlacementRequest& request,
                        const CpuPools& pools = {});

}  // namespace berth::server
