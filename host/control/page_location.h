// On which NUMA nodes the pages of a process's memory are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "host/roots.h"

namespace berth::host {

struct Mapping {
  uint64_t start = 0, size_bytes = 0;
  std::string name;  // "/web-memory0 (deleted)"; empty if anonymous.
};
inline constexpr size_t kMaxMappings = 65'536;  // More are left out.

// /proc/PID/maps. What is no such line is left out.
std::vector<Mapping> ParseMappings(std::string_view text);
Result<std::vector<Mapping>> ReadMappings(const HostRoots& roots, int pid);

// Pages that are in memory, by node, of at most kMaxLookedAt that are evenly spread over the range
// (move_pages(2), which moves nothing without target nodes). Needs to be root, or the process's user.
inline constexpr size_t kMaxLookedAt = 4096;
Result<std::map<int, uint64_t>> CountPagesByNode(int pid, uint64_t start, uint64_t size_bytes,
                                                 uint64_t page_size_bytes);

}  // namespace berth::host
