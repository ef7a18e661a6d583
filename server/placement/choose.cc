#include "server/placement/choose.h"

#include <algorithm>

#include "base/bytes.h"
#include "server/placement/host_cpus.h"
#include "server/placement/refusal.h"
#include "server/placement/subsets.h"

namespace berth::server {
namespace {

bool Has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Nodes with CPUs, or those that the request names.
Result<NodeMask> NamedNodes(const HostModel& model, const PlacementRequest& request) {
  NodeMask nodes = 0;
  std::vector<int> named = request.host_nodes;
  for (const PlacementRequest::Node& node : request.nodes) {
    if (node.host_node) named.push_back(*node.host_node);
  }
  for (int id : named) {
    const int index = model.IndexOfNode(id);
    if (index < 0) {
      return Fail(Error(Code::kNotFound, fmt::format("the host has no NUMA node {}", id))
                      .Reason("HOST_NODE_NOT_FOUND")
                      .With("node", std::to_string(id))
                      .Field("guest.spec.placement.host_nodes"));
    }
    nodes |= NodeMask{1} << index;
  }
  if (!request.host_nodes.empty()) return nodes;
  for (size_t i = 0; i < model.nodes.size(); ++i) {
    if (!model.nodes[i].cores.empty()) nodes |= NodeMask{1} << i;
  }
  return nodes;
}

NodeMask NodesToKeepFrom(const HostRoom& room, const PlacementRequest& request) {
  NodeMask nodes = 0;
  for (const HostRoom::Guest& guest : room.guests) {
    if (Has(request.apart_from, guest.name) || Has(guest.apart_from, request.guest)) nodes |= guest.nodes;
  }
  return nodes;
}

Status CheckHostHas(const HostModel& model, const PlacementRequest& request) {
  const auto has_pages = [&](const HostModel::Node& node) {
    return std::any_of(node.pages.begin(), node.pages.end(),
                       [&](const auto& pages) { return pages.size_bytes == request.page_size_bytes; });
  };
  if (std::none_of(model.nodes.begin(), model.nodes.end(), has_pages)) {
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("the host has no pages of {}", HumanSize(request.page_size_bytes)))
                    .Reason("HUGE_PAGE_SIZE_NOT_SUPPORTED")
                    .With("pageSizeBytes", std::to_string(request.page_size_bytes)));
  }
  const auto of_kind = [&](const HostModel::Core& core) { return core.kind == request.core_kind; };
  if (request.core_kind != CoreKind::kAny && std::none_of(model.cores.begin(), model.cores.end(), of_kind)) {
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("the host has no {} cores",
                                  request.core_kind == CoreKind::kEfficiency ? "efficiency" : "performance"))
                    .Reason("CORE_KIND_NOT_FOUND"));
  }
  return Ok();
}

// Each even node has a core of the guest's and a page.
Status CheckNodeCount(const PlacementRequest& request, int count, int group) {
  const uint64_t pages = request.size_bytes / request.page_size_bytes;
  if (count <= request.vcpu_count / group && static_cast<uint64_t>(request.vcpu_count) <= pages) return Ok();
  return Fail(Error(Code::kInvalidArgument,
                    fmt::format("{} vCPUs in cores of {} and {} pages are too few for {} even nodes",
                                request.vcpu_count, group, pages, count))
                  .Reason("BAD_PLACEMENT")
                  .Field("guest.spec.memory.node_count"));
}

// What is tried, in this order.
Result<std::vector<Attempt>> AttemptsOf(const HostModel& model, const PlacementRequest& request,
                                        const CpuShape& shape, int usable_nodes) {
  std::vector<Attempt> attempts;
  const auto add = [&](Family family, const std::vector<PlacementRequest::Node>& nodes) -> Status {
    auto demands = TRY(DemandsOf(model, request, nodes, shape));
    attempts.push_back({.family = family, .nodes = nodes, .demands = std::move(demands)});
    return Ok();
  };
  const int group = std::max(shape.group, request.threads_per_core);
  if (request.node_count == PlacementRequest::kAutomaticNodes) {
    TRY(add(Family::kOneEach, SplitEvenly(request, 1, group)));
    for (int count = 2; count <= std::min(usable_nodes, kMaxGuestNodes); ++count) {
      if (!CheckNodeCount(request, count, group)) break;
      TRY(add(Family::kOneEach, SplitEvenly(request, count, group)));
    }
    return attempts;
  }
  if (request.node_count > 0) TRY(CheckNodeCount(request, request.node_count, group));
  const auto nodes = request.node_count > 0 ? SplitEvenly(request, request.node_count, group) : request.nodes;
  TRY(add(Family::kOneEach, nodes));
  TRY(add(nodes.size() == 1 ? Family::kSpan : Family::kTogether, nodes));
  return attempts;
}

}  // namespace

Result<Choice> Choose(const HostModel& model, const HostRoom& room, const PlacementRequest& request) {
  CHECK(request.node_count != 0 || !request.nodes.empty());
  CHECK(request.nodes.size() <= kMaxGuestNodes && request.node_count <= kMaxGuestNodes);
  CHECK(request.memory_permille >= 1 && request.memory_permille <= 1000);
  TRY(CheckHostHas(model, request));
  NodeMask usable = TRY(NamedNodes(model, request));
  const NodeMask apart = NodesToKeepFrom(room, request) & usable;
  usable &= ~apart;
  const CpuShape shape = TRY(ShapeOf(model, request));
  const auto attempts = TRY(AttemptsOf(model, request, shape, __builtin_popcountll(usable)));

  const HostRoom left = WithoutHostCpus(model, request.host_cpus, room);
  const DeviceMatcher devices(model, left, request);
  Problem problem{model, request, shape, devices, usable, {}};
  for (size_t node = 0; node < model.nodes.size(); ++node) {
    problem.rooms.push_back(Summarize(model, left, static_cast<int>(node), shape, request.page_size_bytes));
  }
  for (const Attempt& attempt : attempts) {
    if (auto choice = FindBest(problem, attempt)) return *std::move(choice);
  }
  return Fail(RefusalOf(problem, left, attempts, apart));
}

}  // namespace berth::server
