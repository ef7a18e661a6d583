#include "host/control/misplaced.h"

#include <algorithm>

#include "base/bytes.h"
#include "host/control/affinity.h"
#include "host/control/page_location.h"

namespace berth::host {
namespace {

// A file of a tmpfs that is mounted nowhere, or of the kernel's own for memfds; both are unlinked.
bool IsFileOf(const Mapping& mapping, const MemoryPlace& memory) {
  return mapping.name.starts_with("/" + memory.name + " ") ||
         mapping.name.starts_with("/memfd:" + memory.name + " ");
}

// Memory that has no file is what is as large and has no name.
std::vector<Mapping> MappingsOf(const std::vector<Mapping>& all, const MemoryPlace& memory) {
  std::vector<Mapping> found, nameless;
  for (const Mapping& mapping : all) {
    if (IsFileOf(mapping, memory)) found.push_back(mapping);
    if (mapping.name.empty() && mapping.size_bytes == memory.size_bytes) nameless.push_back(mapping);
  }
  return found.empty() ? nameless : found;
}

class Finder {
 public:
  Finder(const HostRoots& roots, const GuestPlaces& places) : roots_(roots), places_(places) {}

  std::vector<std::string> Find() {
    CheckCgroup("", places_.cgroup.limits);
    for (const CgroupChild& child : places_.cgroup.children) CheckCgroup(child.name, child.limits);
    for (const ThreadPlace& thread : places_.threads) CheckThread(thread);
    const auto mappings = ReadMappings(roots_, places_.process);
    if (!mappings) return {};  // It has ended meanwhile, and what was found may be no more than that.
    CheckMemory(*mappings);
    if (found_.size() > kMaxMisplaced) found_.resize(kMaxMisplaced);
    return std::move(found_);
  }

 private:
  void CheckCgroup(const std::string& child, const CgroupLimits& limits) {
    const std::string name = child.empty() ? places_.cgroup.path : places_.cgroup.path + "/" + child;
    for (const std::string& difference : FindDifferences(roots_.cgroup + "/" + name, limits))
      found_.push_back(fmt::format("cgroup {}: {}", name, difference));
  }

  void CheckThread(const ThreadPlace& thread) {
    const auto cgroup = ReadCgroup(roots_, places_.cgroup, thread.child);
    if (!cgroup || !std::binary_search(cgroup->threads.begin(), cgroup->threads.end(), thread.id))
      found_.push_back(fmt::format("thread {} is not in the cgroup {}", thread.id, thread.child));
    const auto cpus = GetAffinity(thread.id);
    if (!cpus) {
      found_.push_back(fmt::format("thread {} ({}) is gone", thread.id, thread.child));
    } else if (*cpus != thread.cpus) {
      found_.push_back(fmt::format("thread {} ({}) may run on CPUs {}, not {}", thread.id, thread.child,
                                   cpus->ToString(), thread.cpus.ToString()));
    }
  }

  void CheckMemory(const std::vector<Mapping>& mappings) {
    for (const MemoryPlace& memory : places_.memory) {
      const std::vector<Mapping> found = MappingsOf(mappings, memory);
      for (const Mapping& mapping : found) CheckPages(memory, mapping);
      if (found.empty()) found_.push_back(fmt::format("{} is not mapped", memory.name));
    }
  }

  void CheckPages(const MemoryPlace& memory, const Mapping& mapping) {
    const auto counts =
        CountPagesByNode(places_.process, mapping.start, mapping.size_bytes, memory.page_size_bytes);
    if (!counts) return found_.push_back(counts.error().message());
    for (const auto& [node, pages] : *counts) {
      if (memory.nodes.Contains(node)) continue;
      found_.push_back(fmt::format("{} of the pages looked at of {} ({}) are on node {}, not on {}", pages,
                                   memory.name, HumanSize(mapping.size_bytes), node,
                                   memory.nodes.ToString()));
    }
  }

  const HostRoots& roots_;
  const GuestPlaces& places_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> FindMisplaced(const HostRoots& roots, const GuestPlaces& places) {
  return Finder(roots, places).Find();
}

}  // namespace berth::host
