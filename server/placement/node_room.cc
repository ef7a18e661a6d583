#include "server/placement/node_room.h"

#include <algorithm>
#include <bit>

namespace berth::server {
namespace {

// The smaller of what was not promised and what is there right now: a promise need not be used yet, and the
// host uses memory that nobody was promised.
uint64_t BytesLeft(const HostModel::Pages& pages, uint64_t promised) {
  const uint64_t unpromised = pages.total_bytes - std::min(pages.total_bytes, promised);
  return std::min(unpromised, pages.available_bytes);
}

int CeilDiv(int64_t value, int64_t by) { return static_cast<int>((value + by - 1) / by); }

}  // namespace

int NodeRoom::dedicable() const {
  return common_pool ? std::min(threads, sharable - CeilDiv(shared_millicpus, 1000)) : threads;
}

NodeRoom Summarize(const HostModel& model, const HostRoom& room, int node, const CpuShape& shape,
                   uint64_t page_size_bytes) {
  const HostModel::Node& facts = model.nodes[node];
  const HostRoom::Node& state = room.nodes[node];
  NodeRoom summary{.shared_millicpus = state.shared_millicpus,
                   .common_pool = model.common_pool,
                   .devices = std::max(state.devices, 0)};
  int free_threads = 0;
  for (int index : facts.cores) {
    const HostModel::Core& core = model.cores[index];
    const int free = std::popcount(room.free[index]);
    free_threads += free;
    if (shape.kind != CoreKind::kAny && shape.kind != core.kind) continue;
    summary.threads += free;
    summary.groups += free / shape.group;
    if (free == static_cast<int>(core.cpus.size())) {
      ++summary.whole_cores;
      ++summary.whole_by_threads[free];
    }
  }
  summary.sharable = model.common_pool ? free_threads : static_cast<int>(facts.shared_cpus.size());
  for (size_t i = 0; i < facts.pages.size(); ++i) {
    const uint64_t left = BytesLeft(facts.pages[i], state.promised_bytes[i]);
    if (i == 0) summary.ordinary_bytes = left;
    if (facts.pages[i].size_bytes != page_size_bytes) continue;
    summary.bytes = left;
    summary.has_page_size = true;
  }
  return summary;
}

int ThreadsUsed(const NodeRoom& room, const Demand& demand, const CpuShape& shape) {
  if (!shape.isolate) return demand.dedicated();
  int used = 0, left = demand.dedicated();
  for (int threads = 1; threads <= kMaxThreadsPerCore; ++threads) {
    const int cores = std::min(left, room.whole_by_threads[threads]);
    used += cores * threads;
    left -= cores;
  }
  return used + left;
}

unsigned LacksOf(const NodeRoom& room, const Demand& demand, const CpuShape& shape,
                 uint64_t page_size_bytes) {
  unsigned lacks = 0;
  const int dedicated = demand.dedicated();
  const int used = ThreadsUsed(room, demand, shape) + demand.helpers;
  if (used > 0 && used > room.dedicable()) lacks |= kLackCpus;
  const int cores = shape.isolate ? room.whole_cores : room.groups;
  if ((shape.isolate || shape.group > 1) && dedicated / shape.group > cores) lacks |= kLackCores;
  if (demand.millicpus > 0) {
    const int sharable = room.common_pool ? room.sharable - used : room.sharable;
    const bool promised_out = room.shared_millicpus + demand.millicpus > int64_t{1000} * sharable;
    if (promised_out || demand.shared() > sharable) lacks |= kLackSharedCpus;
  }
  const bool ordinary = page_size_bytes == kOrdinaryPageBytes;
  if (demand.bytes + (ordinary ? demand.overhead_bytes : 0) > room.bytes)
    lacks |= ordinary ? kLackMemory : kLackHugePages;
  if (!ordinary && demand.overhead_bytes > room.ordinary_bytes) lacks |= kLackMemory;
  return lacks;
}

NodeRoom After(NodeRoom room, const Demand& demand, const CpuShape& shape, uint64_t page_size_bytes,
               int threads_per_core) {
  const int used = ThreadsUsed(room, demand, shape) + demand.helpers;
  if (used > 0) {
    // Whole cores for whole groups of vCPUs; single ones on fragments while there are some.
    const int fragments = room.threads - room.whole_cores * threads_per_core;
    const int whole = shape.isolate ? demand.dedicated()
                                    : std::min(demand.dedicated() / threads_per_core, room.whole_cores);
    const int single = used - (shape.isolate ? used - demand.helpers : whole * threads_per_core);
    const int broken = CeilDiv(std::max(single - std::max(fragments, 0), 0), threads_per_core);
    room.whole_cores = std::max(room.whole_cores - whole - broken, 0);
    room.threads -= used;
    if (room.common_pool) room.sharable -= used;
  }
  room.shared_millicpus += demand.millicpus;
  const bool ordinary = page_size_bytes == kOrdinaryPageBytes;
  room.bytes -= std::min(room.bytes, demand.bytes + (ordinary ? demand.overhead_bytes : 0));
  room.ordinary_bytes -= std::min(room.ordinary_bytes, demand.overhead_bytes + (ordinary ? demand.bytes : 0));
  return room;
}

}  // namespace berth::server
