// How memory and CPU time are used at this moment: by the whole host, by a cgroup, by a thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "host/pressure.h"
#include "host/roots.h"

namespace berth::host {

// /proc/meminfo and /proc/pressure/memory, in bytes.
struct MemoryUse {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;  // Without swapping.
  uint64_t swap_total_bytes = 0;
  uint64_t swap_free_bytes = 0;
  uint64_t zswapped_bytes = 0;    // Of what is swapped: what is still in memory, compressed (zswap)…
  uint64_t zswap_pool_bytes = 0;  // …and what that takes.
  std::optional<Pressure> pressure;
};
MemoryUse ReadMemoryUse(const HostRoots& roots);

// What a cgroup has been charged with (Documentation/admin-guide/cgroup-v2.rst, Memory), children included.
struct CgroupMemory {
  uint64_t current_bytes = 0;
  std::optional<uint64_t> limit_bytes;  // memory.max; none for "max".
  uint64_t swapped_bytes = 0;
  uint64_t anonymous_bytes = 0;  // Of processes alone.
  uint64_t shared_bytes = 0;     // memfd, shmem.
  uint64_t file_bytes = 0;       // Page cache, without shared_bytes.
  uint64_t kernel_bytes = 0;     // With page tables, the second stage's among them.
  uint64_t page_table_bytes = 0;
  uint64_t refaulted_pages = 0;  // Reclaimed, and soon wanted again: a count since the beginning.
  uint64_t oom_kills = 0;
  std::optional<Pressure> pressure;
};
// None if there is no such cgroup, or it has no memory controller. `path` is below the mount.
std::optional<CgroupMemory> ReadCgroupMemory(const HostRoots& roots, const std::string& path);

struct CgroupCpu {
  uint64_t used_us = 0;
  uint64_t throttled_us = 0;
  std::optional<Pressure> pressure;
};
std::optional<CgroupCpu> ReadCgroupCpu(const HostRoots& roots, const std::string& path);

// How long a thread has been ready without a CPU, in nanoseconds: for a vCPU, what its guest sees as steal.
// None without such a thread, or where the kernel does not account for it (CONFIG_SCHEDSTATS).
std::optional<uint64_t> ReadRunDelay(const HostRoots& roots, int pid, int tid);

}  // namespace berth::host
