#include "server/placement/device_match.h"

#include <algorithm>
#include <limits>
#include <map>

#include "base/error.h"

namespace berth::server {
namespace {

constexpr int64_t kUnreached = std::numeric_limits<int64_t>::max();

// Of equally near devices those on the guest's own nodes are taken, which others want less: a unit for each
// that is not, less than any distance together.
constexpr int64_t kDistanceUnit = 2 * kMaxDevices;

// Accelerators may sit on nodes of memory alone: those near to such a one are as good as on it.
NodeMask HomeOf(const HostModel& model, int device_node) {
  if (device_node < 0) return 0;
  if (!model.nodes[device_node].cores.empty()) return NodeMask{1} << device_node;
  NodeMask home = 0;
  int nearest = std::numeric_limits<int>::max();
  for (size_t node = 0; node < model.nodes.size(); ++node) {
    const int distance = model.nodes[node].distances[device_node];
    if (model.nodes[node].cores.empty() || distance > nearest) continue;
    if (distance < nearest) home = 0;
    nearest = distance;
    home |= NodeMask{1} << node;
  }
  return home;
}

}  // namespace

DeviceMatcher::DeviceMatcher(const HostModel& model, const HostRoom& room, const PlacementRequest& request)
    : model_(model), request_(request) {
  CHECK(request.devices.size() <= kMaxDevices);
  std::vector<uint32_t> accepting(request.candidates.size());
  for (size_t i = 0; i < request.devices.size(); ++i) {
    for (int candidate : request.devices[i].any_of) accepting[candidate] |= uint32_t{1} << i;
  }
  std::map<std::pair<int, uint32_t>, Class> classes;
  for (size_t i = 0; i < request.candidates.size(); ++i) {
    const DeviceCandidate& candidate = request.candidates[i];
    if (accepting[i] == 0 || room.devices.contains(candidate.key)) continue;
    const int node = candidate.host_node ? model.IndexOfNode(*candidate.host_node) : -1;
    Class& devices = classes[{node, accepting[i]}];
    devices.node = node;
    devices.home = HomeOf(model, node);
    devices.requests = accepting[i];
    devices.candidates.push_back(static_cast<int>(i));
  }
  for (auto& [key, devices] : classes) classes_.push_back(std::move(devices));
}

int64_t DeviceMatcher::CostOf(size_t request, const Class& devices, NodeMask nodes) const {
  if ((devices.requests >> request & 1) == 0) return -1;
  const DeviceAffinity affinity = request_.devices[request].affinity;
  const int64_t outside = devices.node >= 0 && (nodes >> devices.node & 1) ? 0 : 1;
  const bool beside = outside == 0 || devices.node < 0 || (nodes & devices.home) != 0;
  if (affinity == DeviceAffinity::kNone || beside) return outside;
  if (affinity == DeviceAffinity::kRequired) return -1;
  int64_t nearest = kUnreached;
  for (size_t node = 0; node < model_.nodes.size(); ++node) {
    if (nodes >> node & 1)
      nearest = std::min<int64_t>(nearest, model_.nodes[node].distances[devices.node] - 10);
  }
  return std::max<int64_t>(nearest, 0) * kDistanceUnit + outside;
}

// Minimum-cost flow by successive cheapest augmenting paths (Bellman-Ford over requests and classes).
std::optional<DeviceMatch> DeviceMatcher::Match(NodeMask nodes) const {
  const size_t requests = request_.devices.size(), count = classes_.size();
  DeviceMatch match;
  if (requests == 0) return match;
  std::vector<int64_t> cost(requests * count);
  for (size_t i = 0; i < requests; ++i) {
    for (size_t j = 0; j < count; ++j) cost[i * count + j] = CostOf(i, classes_[j], nodes);
  }
  std::vector<int> class_of(requests, -1);
  int64_t cost_of_all = 0;
  std::vector<size_t> used(count);
  for (size_t start = 0; start < requests; ++start) {
    // Cheapest way from `start` to each class, through requests that would move on to another.
    std::vector<int64_t> reach(count, kUnreached);
    std::vector<int> from(count, -1);
    for (size_t j = 0; j < count; ++j) {
      if (cost[start * count + j] < 0) continue;
      reach[j] = cost[start * count + j];
      from[j] = static_cast<int>(start);
    }
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t i = 0; i < start; ++i) {
        const int now = class_of[i];
        if (reach[now] == kUnreached) continue;
        const int64_t until = reach[now] - cost[i * count + now];
        for (size_t j = 0; j < count; ++j) {
          const int64_t step = cost[i * count + j];
          if (step < 0 || until + step >= reach[j]) continue;
          reach[j] = until + step;
          from[j] = static_cast<int>(i);
          changed = true;
        }
      }
    }
    int best = -1;
    for (size_t j = 0; j < count; ++j) {
      if (reach[j] == kUnreached || used[j] == classes_[j].candidates.size()) continue;
      if (best < 0 || reach[j] < reach[best]) best = static_cast<int>(j);
    }
    if (best < 0) return std::nullopt;
    cost_of_all += reach[best];
    ++used[best];
    for (int to = best;;) {
      const int request = from[to], before = class_of[request];
      class_of[request] = to;
      if (request == static_cast<int>(start)) break;
      to = before;
    }
  }
  match.distance = cost_of_all / kDistanceUnit;
  std::vector<size_t> next(count);
  for (int chosen : class_of) match.picks.push_back(classes_[chosen].candidates[next[chosen]++]);
  return match;
}

}  // namespace berth::server
