// Whether a running guest is where it was put: its limits, its threads and its memory, as the kernel has
// them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/control/cgroup.h"
#include "host/cpu_set.h"

namespace berth::host {

struct ThreadPlace {
  int id = 0;
  std::string child;  // Of the guest's cgroup.
  CpuSet cpus;
};

struct MemoryPlace {
  std::string name;  // Of its file; memory without one is known by its size.
  uint64_t size_bytes = 0, page_size_bytes = 4096;
  CpuSet nodes;
};

struct GuestPlaces {
  int process = 0;
  CgroupChange cgroup;  // With the limits that are to be in force.
  std::vector<ThreadPlace> threads;
  std::vector<MemoryPlace> memory;
};

// What is otherwise, a sentence each, at most kMaxMisplaced; nothing if all is as it should be, or the
// process has ended.
inline constexpr size_t kMaxMisplaced = 64;
std::vector<std::string> FindMisplaced(const HostRoots& roots, const GuestPlaces& places);

}  // namespace berth::host
