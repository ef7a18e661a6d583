#include "server/placement/host_model.h"

#include <algorithm>

namespace berth::server {
namespace {

uint64_t Less(uint64_t from, uint64_t amount) { return from - std::min(from, amount); }

std::vector<HostModel::Pages> PagesOf(const host::NumaNode& node) {
  uint64_t ordinary = node.memory_total_bytes;
  std::vector<HostModel::Pages> pages(1);
  for (const host::HugePagePool& pool : node.huge_pages) {
    const uint64_t size = pool.page_size_bytes;
    pages.push_back({.size_bytes = size,
                     .total_bytes = pool.total_pages * size,
                     .available_bytes = pool.free_pages * size});
    ordinary = Less(ordinary, pages.back().total_bytes);
  }
  pages[0].total_bytes = Less(ordinary, std::min(kHostReserveBytes, node.memory_total_bytes / 20));
  pages[0].available_bytes = node.memory_available_bytes;
  return pages;
}

// Devices that somebody may be waiting for: accelerators, and network and storage functions made to be
// shared. Chipset functions, of which every node 0 has many, are not.
bool IsWanted(const host::PciFunction& function) {
  const uint32_t base_class = function.class_code >> 16;
  return function.is_virtual() || function.sriov.has_value() || base_class == 0x12 ||
         (base_class == 0x03 && !function.boot_vga);
}

std::vector<int> DistancesOf(const host::NumaNode& node, const host::MemoryTopology& memory, size_t count) {
  std::vector<int> distances;
  for (size_t i = 0; i < count; ++i) {
    const bool known = i < node.distances.size() && node.distances[i] > 0;
    distances.push_back(known ? node.distances[i] : node.id == memory.nodes[i].id ? 10 : 20);
  }
  return distances;
}

// The cores of a node: threads that are siblings, and on the node.
void AddCores(const host::HostSnapshot& host, const host::CpuSet& online, const host::CpuSet& dedicated,
              int node, HostModel* model) {
  for (int cpu : online) {
    if (model->core_of_cpu[cpu] >= 0) continue;
    const host::Cpu* facts = host.cpus.Find(cpu);
    HostModel::Core core{.node = node, .cache = cpu};
    const host::CpuSet siblings =
        facts == nullptr ? host::CpuSet{cpu} : (facts->siblings | host::CpuSet{cpu});
    if (facts != nullptr && !facts->cache_siblings.empty()) core.cache = *facts->cache_siblings.begin();
    if (host.cpus.efficiency.Contains(cpu)) core.kind = CoreKind::kEfficiency;
    for (int sibling : siblings) {
      if (core.cpus.size() == kMaxThreadsPerCore) break;
      if (!online.Contains(sibling) || model->core_of_cpu[sibling] >= 0) continue;
      if (dedicated.Contains(sibling)) core.dedicable |= 1 << core.cpus.size();
      model->core_of_cpu[sibling] = static_cast<int>(model->cores.size());
      core.cpus.push_back(sibling);
    }
    model->threads_per_core = std::max(model->threads_per_core, static_cast<int>(core.cpus.size()));
    model->nodes[node].cores.push_back(static_cast<int>(model->cores.size()));
    model->cores.push_back(std::move(core));
  }
}

}  // namespace

int HostModel::IndexOfNode(int id) const {
  const auto found =
      std::find_if(nodes.begin(), nodes.end(), [id](const Node& node) { return node.id == id; });
  return found == nodes.end() ? -1 : static_cast<int>(found - nodes.begin());
}

HostModel MakeHostModel(const host::HostSnapshot& host, const CpuPools& pools) {
  const ResolvedCpuPools resolved = Resolve(pools, host.cpus);
  HostModel model{.common_pool = resolved.common};
  const size_t count = std::min<size_t>(host.memory.nodes.size(), kMaxHostNodes);
  int highest = -1;
  for (int cpu : host.cpus.online) highest = std::max(highest, cpu);
  model.core_of_cpu.assign(highest + 1, -1);
  for (size_t i = 0; i < count; ++i) {
    const host::NumaNode& node = host.memory.nodes[i];
    model.nodes.push_back({.id = node.id,
                           .pages = PagesOf(node),
                           .shared_cpus = node.cpus & resolved.shared,
                           .distances = DistancesOf(node, host.memory, count)});
    AddCores(host, node.cpus & host.cpus.online, resolved.dedicated, static_cast<int>(i), &model);
  }
  for (const host::PciFunction& function : host.functions) {
    const int node = function.numa_node ? model.IndexOfNode(*function.numa_node) : -1;
    if (node >= 0 && IsWanted(function)) ++model.nodes[node].devices;
  }
  return model;
}

}  // namespace berth::server
