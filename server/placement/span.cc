#include <algorithm>
#include <numeric>

#include "server/placement/search.h"

namespace berth::server {
namespace {

// `total` in parts by weight, none above its cap; what is left over goes to those with most room. Empty if
// the caps are less than the total.
std::vector<uint64_t> SplitWithin(uint64_t total, const std::vector<uint64_t>& weights,
                                  const std::vector<uint64_t>& caps) {
  if (std::accumulate(caps.begin(), caps.end(), uint64_t{0}) < total) return {};
  const auto sum = static_cast<double>(std::accumulate(weights.begin(), weights.end(), uint64_t{0}));
  std::vector<uint64_t> parts(caps.size());
  uint64_t left = total;
  for (size_t i = 0; i < caps.size() && sum > 0; ++i) {
    const double share = static_cast<double>(total) * static_cast<double>(weights[i]) / sum;
    parts[i] = std::min({caps[i], static_cast<uint64_t>(share), left});
    left -= parts[i];
  }
  std::vector<size_t> order(caps.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return caps[a] - parts[a] > caps[b] - parts[b]; });
  for (size_t i : order) {
    const uint64_t more = std::min(left, caps[i] - parts[i]);
    parts[i] += more;
    left -= more;
  }
  return parts;
}

// Out of what is less than a page first, so that as many whole pages remain as can.
std::vector<uint64_t> SplitOverhead(uint64_t bytes, uint64_t page, const std::vector<uint64_t>& room) {
  std::vector<uint64_t> rests, wholes;
  uint64_t sum_of_rests = 0;
  for (uint64_t one : room) {
    rests.push_back(one % page);
    wholes.push_back(one - one % page);
    sum_of_rests += rests.back();
  }
  const uint64_t in_rests = std::min(bytes, sum_of_rests);
  std::vector<uint64_t> parts = SplitWithin(in_rests, {}, rests);
  const std::vector<uint64_t> more = SplitWithin(bytes - in_rests, {}, wholes);
  if (more.empty()) return {};
  for (size_t i = 0; i < parts.size(); ++i) parts[i] += more[i];
  return parts;
}

// At least one to each that has room: devices on that node are then beside the guest, however its CPUs are
// split.
void GiveEachOne(const std::vector<uint64_t>& caps, std::vector<uint64_t>* parts) {
  for (size_t i = 0; i < caps.size(); ++i) {
    const auto largest = std::max_element(parts->begin(), parts->end());
    if ((*parts)[i] > 0 || caps[i] == 0 || *largest < 2) continue;
    --*largest;
    ++(*parts)[i];
  }
}

// How many groups of dedicated vCPUs a node takes.
uint64_t GroupsOn(const NodeRoom& room, const CpuShape& shape) {
  const int threads = std::max(room.dedicable(), 0);
  if (!shape.isolate) return std::min(room.groups, threads / shape.group);
  int groups = 0, left = threads;
  for (int size = 1; size <= kMaxThreadsPerCore; ++size) {
    const int cores = std::min(room.whole_by_threads[size], left / size);
    groups += cores;
    left -= cores * size;
  }
  return groups;
}

uint64_t Positive(int64_t value) { return static_cast<uint64_t>(std::max<int64_t>(value, 0)); }

}  // namespace

std::vector<Part> SplitOver(const Problem& problem, const Demand& demand, NodeMask nodes) {
  const CpuShape& shape = problem.shape;
  std::vector<Part> parts;
  for (size_t node = 0; node < problem.rooms.size(); ++node) {
    if (nodes >> node & 1) parts.push_back({.host_node = static_cast<int>(node)});
  }
  const auto room = [&](size_t i) -> const NodeRoom& { return problem.rooms[parts[i].host_node]; };
  std::vector<uint64_t> caps(parts.size()), even(parts.size(), 1), cpus(parts.size());

  for (size_t i = 0; i < parts.size(); ++i) caps[i] = GroupsOn(room(i), shape);
  const auto groups = SplitWithin(demand.dedicated() / shape.group, even, caps);
  if (groups.empty()) return {};
  auto vcpu = demand.dedicated_vcpus.begin();
  std::vector<int> used(parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto end = vcpu + static_cast<long>(groups[i]) * shape.group;
    parts[i].demand.dedicated_vcpus.assign(vcpu, end);
    vcpu = end;
    used[i] = ThreadsUsed(room(i), parts[i].demand, shape);
    cpus[i] = Positive(room(i).dedicable() - used[i]);
  }
  const auto helpers = SplitWithin(demand.helpers, {}, cpus);
  if (helpers.empty()) return {};

  uint64_t width = 0;
  std::vector<uint64_t> sharable(parts.size()), ordinary_bytes;
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i].demand.helpers = static_cast<int>(helpers[i]);
    used[i] += parts[i].demand.helpers;
    const int left = room(i).common_pool ? room(i).sharable - used[i] : room(i).sharable;
    sharable[i] = Positive(left);
    width += sharable[i];
    caps[i] = Positive(int64_t{1000} * left - room(i).shared_millicpus);
    ordinary_bytes.push_back(room(i).ordinary_bytes);
  }
  if (demand.millicpus > 0 && width < static_cast<uint64_t>(demand.shared())) return {};
  const auto millicpus = SplitWithin(demand.millicpus, sharable, caps);
  if (millicpus.empty()) return {};

  const bool ordinary = problem.request.page_size_bytes == kOrdinaryPageBytes;
  const uint64_t page = BytesPerPage(problem.request);
  const auto overhead = SplitOverhead(demand.overhead_bytes, page, ordinary_bytes);
  if (overhead.empty()) return {};
  std::vector<uint64_t> weights(parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i].demand.millicpus = static_cast<int64_t>(millicpus[i]);
    parts[i].demand.overhead_bytes = overhead[i];
    caps[i] = (room(i).bytes - (ordinary ? overhead[i] : 0)) / page;
    weights[i] = 1000 * groups[i] * shape.group + millicpus[i];
  }
  const bool unweighted = demand.dedicated() == 0 && demand.millicpus == 0;
  auto pages = SplitWithin(demand.pages, unweighted ? even : weights, caps);
  if (pages.empty()) return {};
  GiveEachOne(caps, &pages);
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i].demand.pages = pages[i];
    parts[i].demand.bytes = parts[i].demand.pages * page;
  }
  return parts;
}

Demand SumOf(const std::vector<Demand>& demands) {
  Demand sum;
  const auto append = [](std::vector<int>& to, const std::vector<int>& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (const Demand& demand : demands) {
    append(sum.dedicated_vcpus, demand.dedicated_vcpus);
    append(sum.shared_vcpus, demand.shared_vcpus);
    append(sum.cpu_nodes, demand.cpu_nodes);
    sum.helpers += demand.helpers;
    sum.millicpus += demand.millicpus;
    sum.pages += demand.pages;
    sum.bytes += demand.bytes;
    sum.overhead_bytes += demand.overhead_bytes;
  }
  return sum;
}

}  // namespace berth::server
