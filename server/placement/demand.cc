#include "server/placement/demand.h"

#include <algorithm>

namespace berth::server {
namespace {

tl::unexpected<Error> BadPlacement(std::string message, const char* field) {
  return Fail(
      Error(Code::kInvalidArgument, std::move(message)).Reason("BAD_PLACEMENT").Field(std::string(field)));
}

int IsolatedHelpers(const PlacementRequest& request) {
  return (request.emulator == HelperPolicy::kIsolated ? 1 : 0) +
         (request.io_threads == HelperPolicy::kIsolated ? request.io_thread_count : 0);
}

Status CheckGuestCores(const std::vector<int>& dedicated, int threads) {
  for (size_t i = 0; i < dedicated.size(); ++i) {
    const size_t first = i - i % threads;
    if (dedicated[i] / threads == dedicated[first] / threads && first + threads <= dedicated.size()) continue;
    return BadPlacement(
        fmt::format("vCPU {} has a host CPU of its own, and other threads of its core do not: "
                    "{} vCPUs are a core",
                    dedicated[i], threads),
        "guest.spec.placement");
  }
  return Ok();
}

}  // namespace

uint64_t BytesPerPage(const PlacementRequest& request) {
  if (request.page_size_bytes != kOrdinaryPageBytes) return request.page_size_bytes;
  return (kOrdinaryPageBytes * static_cast<uint64_t>(request.memory_permille) + 999) / 1000;
}

Result<CpuShape> ShapeOf(const HostModel& model, const PlacementRequest& request) {
  CpuShape shape{.kind = request.core_kind};
  if (request.cpu_policy == CpuPolicy::kShared || !request.host_cpus.empty()) return shape;
  shape.group = std::max(request.threads_per_core, 1);
  if (request.sibling_policy == SiblingPolicy::kIsolate) {
    if (shape.group > 1) {
      return BadPlacement(fmt::format("a core for each vCPU, and guest cores of {} threads", shape.group),
                          "guest.spec.cpus.threads_per_core");
    }
    shape.isolate = true;
  }
  if (request.sibling_policy == SiblingPolicy::kRequire) {
    if (model.threads_per_core == 1) {
      return Fail(Error(Code::kFailedPrecondition, "sibling threads are required, and this host has none")
                      .Reason("NO_HOST_THREADS"));
    }
    if (model.threads_per_core % shape.group != 0) {
      return BadPlacement(fmt::format("guest cores of {} threads do not fill host cores of {}", shape.group,
                                      model.threads_per_core),
                          "guest.spec.cpus.threads_per_core");
    }
    shape.group = model.threads_per_core;
  }
  if (shape.group > model.threads_per_core) {
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("guest cores of {} threads on CPUs of their own, and the host's have {}",
                                  shape.group, model.threads_per_core))
                    .Reason("NO_HOST_THREADS")
                    .With("threadsPerCore", std::to_string(shape.group))
                    .With("hostThreadsPerCore", std::to_string(model.threads_per_core)));
  }
  return shape;
}

Result<std::vector<Demand>> DemandsOf(const HostModel& model, const PlacementRequest& request,
                                      const std::vector<PlacementRequest::Node>& nodes,
                                      const CpuShape& shape) {
  std::vector<Demand> demands;
  for (const PlacementRequest::Node& node : nodes) {
    Demand demand;
    demand.pages = node.size_bytes / request.page_size_bytes;
    demand.bytes = demand.pages * BytesPerPage(request);
    if (node.host_node) demand.host_node = model.IndexOfNode(*node.host_node);
    std::vector<int> vcpus = node.vcpus;
    std::sort(vcpus.begin(), vcpus.end());
    for (int vcpu : vcpus) {
      if (!request.host_cpus.empty()) {
        demand.cpu_nodes.push_back(model.cores[model.core_of_cpu[request.host_cpus[vcpu]]].node);
        continue;
      }
      (request.IsDedicated(vcpu) ? demand.dedicated_vcpus : demand.shared_vcpus).push_back(vcpu);
    }
    if (const int threads = request.threads_per_core; threads > 1)
      TRY(CheckGuestCores(demand.dedicated_vcpus, threads));
    if (demand.dedicated() % shape.group != 0) {
      return BadPlacement(fmt::format("{} vCPUs are no whole cores of {} threads, which are required",
                                      demand.dedicated(), shape.group),
                          "guest.spec.cpus.vcpu_count");
    }
    demand.millicpus = int64_t{demand.shared()} * std::max(request.millicpus_per_shared_vcpu, 1);
    demands.push_back(std::move(demand));
  }
  demands[0].helpers = IsolatedHelpers(request);
  demands[0].overhead_bytes = request.overhead_bytes;
  if (request.emulator == HelperPolicy::kShared) demands[0].millicpus += kSharedHelperMillicpus;
  if (request.io_threads == HelperPolicy::kShared)
    demands[0].millicpus += int64_t{kSharedHelperMillicpus} * request.io_thread_count;
  return demands;
}

std::vector<PlacementRequest::Node> SplitEvenly(const PlacementRequest& request, int count, int group) {
  const int cores = request.vcpu_count / group;
  const uint64_t pages = request.size_bytes / request.page_size_bytes;
  std::vector<PlacementRequest::Node> nodes(count);
  int vcpu = 0;
  uint64_t pages_given = 0;
  for (int i = 0; i < count; ++i) {
    const int end = i + 1 == count ? request.vcpu_count : cores * (i + 1) / count * group;
    for (; vcpu < end; ++vcpu) nodes[i].vcpus.push_back(vcpu);
    // Up to here by vCPUs, so that rounding never loses a page.
    const uint64_t until = i + 1 == count ? pages : pages * vcpu / request.vcpu_count;
    nodes[i].size_bytes = (until - pages_given) * request.page_size_bytes;
    pages_given = until;
  }
  return nodes;
}

}  // namespace berth::server
