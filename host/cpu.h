// The host's logical CPUs: /sys/devices/system/cpu.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "host/cpu_set.h"
#include "host/roots.h"

namespace berth::host {

// One logical CPU (a hardware thread). Ids that the kernel does not tell are -1; an offline CPU has no
// topology.
struct Cpu {
  int id = 0;
  bool online = false;
  int socket = -1;  // physical_package_id
  int die = -1;     // die_id, unique within its socket
  int core = -1;    // core_id, unique within its die at best: use `siblings` to tell cores apart
  int node = -1;    // NUMA node
  // The threads of its core, itself included.
  CpuSet siblings;
  // The CPUs that share its last-level cache, itself included.
  CpuSet cache_siblings;
  uint32_t max_frequency_khz = 0;  // 0 if unknown; differs between performance and efficiency cores
};

struct CpuTopology {
  std::vector<Cpu> cpus;  // All present CPUs, by id.
  CpuSet present, online;
  // Kept from the scheduler by the command line (isolcpus).
  CpuSet isolated;
  // Efficiency cores of a hybrid processor (cpu_atom); empty if all are of one kind.
  CpuSet efficiency;

  const Cpu* Find(int id) const;
};

// Never fails: what cannot be read is left out.
CpuTopology ReadCpus(const HostRoots& roots);

}  // namespace berth::host
