#include "server/placement/node_room.h"

#include <algorithm>

namespace berth::server {
namespace {

constexpr uint64_t kOrdinaryPageBytes = 4096;

uint64_t Less(uint64_t from, uint64_t amount) { return from - std::min(from, amount); }

uint64_t Promised(const Ledger& ledger, int node, uint64_t page_size_bytes) {
  uint64_t promised = 0;
  for (const Reservation& reservation : ledger) {
    for (const Reservation::Memory& memory : reservation.memory) {
      if (memory.host_node == node && memory.page_size_bytes == page_size_bytes)
        promised += memory.size_bytes;
    }
  }
  return promised;
}

// The smaller of what was not promised and what is there right now: a promise need not be used yet, and the
// host uses memory that nobody was promised.
uint64_t MemoryLeft(const host::NumaNode& node, const Ledger& ledger, uint64_t page_size_bytes) {
  if (page_size_bytes == kOrdinaryPageBytes) {
    uint64_t ordinary = node.memory_total_bytes;
    for (const auto& pool : node.huge_pages)
      ordinary = Less(ordinary, pool.total_pages * pool.page_size_bytes);
    ordinary = Less(ordinary, std::min(kHostReserveBytes, node.memory_total_bytes / 20));
    return std::min(Less(ordinary, Promised(ledger, node.id, page_size_bytes)), node.memory_available_bytes);
  }
  for (const auto& pool : node.huge_pages) {
    if (pool.page_size_bytes != page_size_bytes) continue;
    const uint64_t unpromised =
        Less(pool.total_pages * page_size_bytes, Promised(ledger, node.id, page_size_bytes));
    return std::min(unpromised, pool.free_pages * page_size_bytes);
  }
  return 0;
}

bool HasPageSize(const host::NumaNode& node, uint64_t page_size_bytes) {
  return page_size_bytes == kOrdinaryPageBytes ||
         std::any_of(node.huge_pages.begin(), node.huge_pages.end(),
                     [&](const auto& pool) { return pool.page_size_bytes == page_size_bytes; });
}

}  // namespace

std::vector<NodeRoom> RoomOf(const host::HostSnapshot& host, const Ledger& ledger, uint64_t page_size_bytes) {
  host::CpuSet taken;
  for (const Reservation& reservation : ledger) taken = taken | reservation.dedicated_cpus;
  std::vector<NodeRoom> rooms;
  for (const host::NumaNode& node : host.memory.nodes) {
    const host::CpuSet free = (node.cpus & host.cpus.online) - taken;
    rooms.push_back({.id = node.id,
                     .dedicable_cpus = free,
                     .shared_cpus = free - host.cpus.isolated,
                     .memory_bytes = MemoryLeft(node, ledger, page_size_bytes),
                     .has_page_size = HasPageSize(node, page_size_bytes)});
  }
  return rooms;
}

std::vector<int> PickCpus(const host::CpuTopology& topology, const host::CpuSet& free, int count,
                          int threads) {
  // The free threads of each core.
  std::vector<std::vector<int>> cores;
  host::CpuSet seen;
  for (int cpu : free) {
    if (seen.Contains(cpu)) continue;
    const host::Cpu* facts = topology.Find(cpu);
    host::CpuSet siblings = facts == nullptr ? host::CpuSet{} : facts->siblings & free;
    siblings.Insert(cpu);
    seen = seen | siblings;
    cores.emplace_back(siblings.begin(), siblings.end());
  }
  if (threads == 1) {
    std::stable_sort(cores.begin(), cores.end(),
                     [](const auto& a, const auto& b) { return a.size() < b.size(); });
  }
  std::vector<int> picked;
  for (const auto& core : cores) {
    const size_t usable = core.size() / threads * threads;
    for (size_t i = 0; i < usable && static_cast<int>(picked.size()) < count; ++i) picked.push_back(core[i]);
  }
  if (static_cast<int>(picked.size()) < count) picked.clear();
  return picked;
}

}  // namespace berth::server
