#include "tests/fakes/made_host.h"

#include <fmt/format.h>

namespace berth::host {

PciAddress DeviceOf(int node, int index) {
  return *PciAddress::Parse(
      fmt::format("{:04x}:{:02x}:{:02x}.{}", node, index / 256, index / 8 % 32, index % 8));
}

HostSnapshot Make(const MadeHost& made) {
  HostSnapshot host{.kernel_release = "6.12.0-made", .boot_id = "boot-1"};
  for (int i = 0; i < made.nodes; ++i) {
    NumaNode node{.id = made.first_node + i * made.node_step};
    node.memory_total_bytes = node.memory_free_bytes = node.memory_available_bytes = made.bytes_per_node;
    const uint64_t huge_pages = made.huge_bytes_per_node / (2 * kMiB);
    node.huge_pages = {{.page_size_bytes = 2 * kMiB, .total_pages = huge_pages, .free_pages = huge_pages}};
    node.memory_available_bytes -= made.huge_bytes_per_node;
    for (int j = 0; j < made.nodes; ++j) {
      const bool same_half = i * 2 / made.nodes == j * 2 / made.nodes;
      node.distances.push_back(i == j ? 10 : same_half ? 12 : made.far);
    }
    for (int core = 0; core < made.cores_per_node; ++core) {
      const int first = (i * made.cores_per_node + core) * made.threads_per_core;
      Cpu cpu{.online = true, .socket = i, .die = 0, .core = core, .node = node.id};
      for (int thread = 0; thread < made.threads_per_core; ++thread) cpu.siblings.Insert(first + thread);
      const int cache = core / made.cores_per_cache * made.cores_per_cache;
      cpu.cache_siblings = {(i * made.cores_per_node + cache) * made.threads_per_core};
      for (int sibling : cpu.siblings) {
        cpu.id = sibling;
        host.cpus.cpus.push_back(cpu);
        host.cpus.present.Insert(sibling);
        host.cpus.online.Insert(sibling);
        node.cpus.Insert(sibling);
      }
    }
    host.memory.total_bytes += node.memory_total_bytes;
    host.memory.available_bytes += node.memory_available_bytes;
    const int devices = i < static_cast<int>(made.devices.size()) ? made.devices[i] : 0;
    for (int device = 0; device < devices; ++device) {
      PciFunction function;
      function.address = DeviceOf(i, device);
      function.class_code = 0x120000;
      function.numa_node = node.id;
      host.functions.push_back(function);
    }
    host.memory.nodes.push_back(std::move(node));
  }
  return host;
}

}  // namespace berth::host
