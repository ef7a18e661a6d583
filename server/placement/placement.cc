#include "server/placement/placement.h"

#include <algorithm>

#include "base/bytes.h"
#include "server/placement/candidates.h"
#include "server/placement/node_room.h"

namespace berth::server {
namespace {

Error Refusal(Code code, std::string_view reason, std::string message) {
  return Error(code, std::move(message)).Reason(std::string(reason));
}

// The nodes a guest node goes to, out of the chosen ones: all of them for a guest of one node, else one by
// one.
std::vector<NodeRoom*> NodesFor(std::vector<NodeRoom*>& chosen, size_t guest_node, size_t guest_nodes) {
  if (guest_nodes == 1 || chosen.size() == 1) return chosen;
  return {chosen[guest_node % chosen.size()]};
}

Status TakeMemory(const std::vector<NodeRoom*>& nodes, const PlacementRequest& request, uint64_t size_bytes) {
  uint64_t left = 0;
  std::string names;
  for (const NodeRoom* node : nodes) {
    left += node->memory_bytes;
    names += fmt::format("{}{}", names.empty() ? "" : ",", node->id);
  }
  if (left < size_bytes) {
    const bool huge = request.page_size_bytes != 4096;
    return Fail(
        Refusal(Code::kResourceExhausted, huge ? "NOT_ENOUGH_HUGE_PAGES" : "NOT_ENOUGH_MEMORY",
                fmt::format("{} of memory{} asked for, {} left on node {}", HumanSize(size_bytes),
                            huge ? fmt::format(" in pages of {}", HumanSize(request.page_size_bytes)) : "",
                            HumanSize(left), names)));
  }
  for (NodeRoom* node : nodes) {
    const uint64_t taken = std::min(size_bytes, node->memory_bytes);
    node->memory_bytes -= taken;
    size_bytes -= taken;
  }
  return Ok();
}

Status TakeCpus(const host::HostSnapshot& host, const std::vector<NodeRoom*>& nodes,
                const PlacementRequest& request, const std::vector<int>& vcpus, Placement* placement) {
  host::CpuSet dedicable, shared;
  for (const NodeRoom* node : nodes) {
    dedicable = dedicable | node->dedicable_cpus;
    shared = shared | node->shared_cpus;
  }
  if (!request.dedicated_cpus) {
    if (shared.empty()) {
      return Fail(
          Refusal(Code::kResourceExhausted, "NOT_ENOUGH_HOST_CPUS", "every CPU is dedicated to a guest"));
    }
    for (int vcpu : vcpus) placement->vcpus[vcpu] = shared;
    return Ok();
  }
  const std::vector<int> picked =
      PickCpus(host.cpus, dedicable, static_cast<int>(vcpus.size()), request.threads_per_core);
  if (picked.size() < vcpus.size()) {
    return Fail(
        Refusal(Code::kResourceExhausted, "NOT_ENOUGH_HOST_CPUS",
                fmt::format("{} CPUs to be dedicated{}, {} are free", vcpus.size(),
                            request.threads_per_core > 1 ? " as whole cores" : "", dedicable.size())));
  }
  for (size_t i = 0; i < vcpus.size(); ++i) {
    placement->vcpus[vcpus[i]] = {picked[i]};
    for (NodeRoom* node : nodes) node->dedicable_cpus.Erase(picked[i]);
  }
  return Ok();
}

// Places on exactly these nodes, in this order.
Result<Placement> PlaceOn(const host::HostSnapshot& host, std::vector<NodeRoom> rooms,
                          const std::vector<int>& ids, const PlacementRequest& request) {
  std::vector<NodeRoom*> chosen;
  for (int id : ids) {
    chosen.push_back(
        &*std::find_if(rooms.begin(), rooms.end(), [&](const auto& room) { return room.id == id; }));
  }
  Placement placement;
  placement.vcpus.resize(request.vcpu_count);
  for (size_t i = 0; i < request.nodes.size(); ++i) {
    const std::vector<NodeRoom*> nodes = NodesFor(chosen, i, request.nodes.size());
    TRY(TakeMemory(nodes, request, request.nodes[i].size_bytes));
    if (request.host_cpus.empty()) TRY(TakeCpus(host, nodes, request, request.nodes[i].vcpus, &placement));
    placement.memory_nodes.emplace_back();
    for (const NodeRoom* node : nodes) placement.memory_nodes.back().push_back(node->id);
  }
  for (size_t i = 0; i < request.host_cpus.size(); ++i) placement.vcpus[i] = {request.host_cpus[i]};
  return placement;
}

Status CheckHostCpus(const host::HostSnapshot& host, const Ledger& ledger, const std::vector<int>& cpus) {
  for (int cpu : cpus) {
    const std::string number = std::to_string(cpu);
    const host::Cpu* facts = host.cpus.Find(cpu);
    if (facts == nullptr) {
      return Fail(Refusal(Code::kNotFound, "HOST_CPU_NOT_FOUND",
                          fmt::format("the host has no CPU {}; it has {}", cpu, host.cpus.present.ToString()))
                      .With("cpu", number)
                      .Field("guest.spec.placement.host_cpus"));
    }
    if (!host.cpus.online.Contains(cpu)) {
      return Fail(
          Refusal(Code::kFailedPrecondition, "HOST_CPU_OFFLINE", fmt::format("CPU {} is offline", cpu))
              .With("cpu", number));
    }
    for (const Reservation& reservation : ledger) {
      if (!reservation.dedicated_cpus.Contains(cpu)) continue;
      return Fail(Refusal(Code::kFailedPrecondition, "HOST_CPU_IN_USE",
                          fmt::format("CPU {} is dedicated to {}", cpu, reservation.guest))
                      .With("cpu", number)
                      .With("owner", reservation.guest));
    }
  }
  return Ok();
}

Status CheckHostNodes(const host::HostSnapshot& host, const std::vector<int>& nodes) {
  for (int id : nodes) {
    if (host.memory.Find(id) != nullptr) continue;
    return Fail(
        Refusal(Code::kNotFound, "HOST_NODE_NOT_FOUND", fmt::format("the host has no NUMA node {}", id))
            .With("node", std::to_string(id))
            .Field("guest.spec.placement.host_nodes"));
  }
  return Ok();
}

}  // namespace

host::CpuSet Placement::AllCpus() const {
  host::CpuSet all;
  for (const host::CpuSet& cpus : vcpus) all = all | cpus;
  return all;
}

host::CpuSet Placement::AllNodes() const {
  host::CpuSet all;
  for (const auto& nodes : memory_nodes) {
    for (int node : nodes) all.Insert(node);
  }
  return all;
}

Result<Placement> Place(const host::HostSnapshot& host, const Ledger& ledger,
                        const PlacementRequest& request) {
  const size_t online = host.cpus.online.size();
  if (request.dedicated_cpus && request.vcpu_count > static_cast<int>(online)) {
    return Fail(
        Refusal(Code::kResourceExhausted, "NOT_ENOUGH_HOST_CPUS",
                fmt::format("{} vCPUs with a CPU each, and the host has {}", request.vcpu_count, online))
            .With("vcpuCount", std::to_string(request.vcpu_count))
            .With("hostCpuCount", std::to_string(online)));
  }
  TRY(CheckHostCpus(host, ledger, request.host_cpus));
  TRY(CheckHostNodes(host, request.host_nodes));
  const std::vector<NodeRoom> rooms = RoomOf(host, ledger, request.page_size_bytes);
  if (std::none_of(rooms.begin(), rooms.end(), [](const auto& room) { return room.has_page_size; })) {
    return Fail(Refusal(Code::kFailedPrecondition, "HUGE_PAGE_SIZE_NOT_SUPPORTED",
                        fmt::format("the host has no pages of {}", HumanSize(request.page_size_bytes)))
                    .With("pageSizeBytes", std::to_string(request.page_size_bytes)));
  }
  std::optional<Error> refusal;
  std::vector<std::pair<std::string, std::string>> reasons;
  for (const std::vector<int>& ids : CandidateNodes(host, rooms, request)) {
    if (ids.empty()) continue;
    Result<Placement> placement = PlaceOn(host, rooms, ids, request);
    if (placement) return placement;
    if (ids.size() == 1) reasons.emplace_back(fmt::format("node{}", ids[0]), placement.error().message());
    refusal = std::move(placement).error();
  }
  if (!refusal)
    return Fail(Refusal(Code::kResourceExhausted, "NOT_ENOUGH_MEMORY", "the host has no memory nodes"));
  for (auto& [node, reason] : reasons) refusal = std::move(*refusal).With(node, reason);
  return Fail(std::move(*refusal).Context("the guest does not fit"));
}

Reservation Reserve(const std::string& guest, const PlacementRequest& request, const Placement& placement) {
  Reservation reservation{.guest = guest};
  if (request.dedicated_cpus) reservation.dedicated_cpus = placement.AllCpus();
  for (size_t i = 0; i < request.nodes.size() && i < placement.memory_nodes.size(); ++i) {
    const auto& nodes = placement.memory_nodes[i];
    for (int node : nodes) {
      reservation.memory.push_back({.host_node = node,
                                    .page_size_bytes = request.page_size_bytes,
                                    .size_bytes = request.nodes[i].size_bytes / nodes.size()});
    }
  }
  return reservation;
}

}  // namespace berth::server
