#include "server/placement/score.h"

#include <algorithm>

namespace berth::server {
namespace {

int64_t InPowersOfTwo(int64_t room, int64_t largest) {
  int64_t sum = 0;
  for (int64_t size = 1; size <= largest; size *= 2) sum += room / size * size;
  return sum;
}

}  // namespace

int64_t Placeable(const HostModel& model, int node, const NodeRoom& room) {
  const auto cores = static_cast<int64_t>(model.nodes[node].cores.size());
  if (cores == 0) return 0;
  const uint64_t total = model.nodes[node].pages[0].total_bytes;
  const auto bytes_per_core = static_cast<int64_t>(std::max<uint64_t>(total / cores, 1));
  const auto memory = static_cast<int64_t>(room.ordinary_bytes) / bytes_per_core;
  const int64_t shared_room = int64_t{room.sharable} * 1000 - room.shared_millicpus;
  const int64_t shared = std::max<int64_t>(shared_room, 0) / (1000 * model.threads_per_core);
  const int64_t whole =
      room.common_pool ? std::min<int64_t>(room.whole_cores, shared) : int64_t{room.whole_cores};
  int64_t placeable = InPowersOfTwo(std::min(whole, memory), cores);
  if (!room.common_pool) placeable += InPowersOfTwo(std::min(shared, memory), cores);
  return placeable;
}

int64_t LoadQuarters(const NodeRoom& room) {
  const int64_t capacity = int64_t{room.sharable} * 1000;
  return capacity <= 0 ? 4 : (4 * room.shared_millicpus + capacity - 1) / capacity;
}

}  // namespace berth::server
