#include "server/placement/subsets.h"

#include <algorithm>

namespace berth::server {
namespace {

// n over k, or more than `most`.
uint64_t Choose(uint64_t n, uint64_t k, uint64_t most) {
  uint64_t count = 1;
  for (uint64_t i = 1; i <= k && count <= most; ++i) count = count * (n - k + i) / i;
  return count;
}

NodeMask WithNearest(const HostModel& model, const std::vector<int>& nodes, int seed, int size) {
  std::vector<int> order = nodes;
  const std::vector<int>& distances = model.nodes[seed].distances;
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return distances[a] < distances[b]; });
  NodeMask mask = NodeMask{1} << seed;
  for (int node : order) {
    if (--size <= 0) break;
    if (node == seed) ++size;
    mask |= NodeMask{1} << node;
  }
  return mask;
}

}  // namespace

std::vector<int> IndicesOf(NodeMask nodes) {
  std::vector<int> indices;
  for (; nodes != 0; nodes &= nodes - 1) indices.push_back(__builtin_ctzll(nodes));
  return indices;
}

std::vector<NodeMask> Subsets(const HostModel& model, NodeMask nodes, int size, uint64_t most) {
  const std::vector<int> from = IndicesOf(nodes);
  const int count = static_cast<int>(from.size());
  std::vector<NodeMask> subsets;
  if (size <= 0 || size > count) return subsets;
  if (size == count) return {nodes};
  if (Choose(count, size, most) > most) {
    for (int seed : from) subsets.push_back(WithNearest(model, from, seed, size));
  } else {
    // Positions in `from`, the least first.
    std::vector<int> chosen(size);
    for (int i = 0; i < size; ++i) chosen[i] = i;
    for (int i = size - 1; i >= 0;) {
      NodeMask mask = 0;
      for (int position : chosen) mask |= NodeMask{1} << from[position];
      subsets.push_back(mask);
      for (i = size - 1; i >= 0 && chosen[i] == count - size + i;) --i;
      if (i < 0) break;
      ++chosen[i];
      for (int j = i + 1; j < size; ++j) chosen[j] = chosen[j - 1] + 1;
      i = size - 1;
    }
  }
  std::sort(subsets.begin(), subsets.end());
  subsets.erase(std::unique(subsets.begin(), subsets.end()), subsets.end());
  return subsets;
}

}  // namespace berth::server
