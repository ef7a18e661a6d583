#include "server/placement/candidates.h"

#include <algorithm>

namespace berth::server {
namespace {

// The best first: most of the guest's devices, then nearest to those elsewhere, then the most memory left.
std::vector<int> NodesByPreference(const host::HostSnapshot& host, const std::vector<NodeRoom>& rooms,
                                   const PlacementRequest& request) {
  struct Score {
    long devices, distance;
    uint64_t memory;
    int id;
  };
  std::vector<Score> scores;
  for (const NodeRoom& room : rooms) {
    Score score{.devices = std::count(request.device_nodes.begin(), request.device_nodes.end(), room.id),
                .distance = 0,
                .memory = room.memory_bytes,
                .id = room.id};
    const host::NumaNode* node = host.memory.Find(room.id);
    for (size_t i = 0; i < node->distances.size() && i < host.memory.nodes.size(); ++i) {
      const int other = host.memory.nodes[i].id;
      score.distance +=
          node->distances[i] * std::count(request.device_nodes.begin(), request.device_nodes.end(), other);
    }
    scores.push_back(score);
  }
  std::stable_sort(scores.begin(), scores.end(), [](const Score& a, const Score& b) {
    if (a.devices != b.devices) return a.devices > b.devices;
    if (a.distance != b.distance) return a.distance < b.distance;
    return a.memory > b.memory;
  });
  std::vector<int> ids;
  for (const Score& score : scores) ids.push_back(score.id);
  return ids;
}

}  // namespace

std::vector<std::vector<int>> CandidateNodes(const host::HostSnapshot& host,
                                             const std::vector<NodeRoom>& rooms,
                                             const PlacementRequest& request) {
  if (!request.host_nodes.empty()) return {request.host_nodes};
  std::vector<std::vector<int>> candidates;
  if (!request.host_cpus.empty()) {
    host::CpuSet nodes;
    for (int cpu : request.host_cpus) nodes.Insert(std::max(host.cpus.Find(cpu)->node, 0));
    candidates.emplace_back(nodes.begin(), nodes.end());
  }
  const std::vector<int> preferred = NodesByPreference(host, rooms, request);
  // A guest with nodes of its own gets as many of the host's, if there are.
  if (request.nodes.size() > 1 && preferred.size() > request.nodes.size()) {
    candidates.emplace_back(preferred.begin(), preferred.begin() + static_cast<long>(request.nodes.size()));
  }
  if (request.nodes.size() > 1) candidates.push_back(preferred);
  for (int id : preferred) candidates.push_back({id});
  if (request.nodes.size() == 1) candidates.push_back(preferred);
  return candidates;
}

}  // namespace berth::server
