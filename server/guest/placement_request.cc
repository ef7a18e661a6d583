#include "server/guest/placement_request.h"

namespace berth::server {
namespace {

CpuPolicy CpuPolicyOf(const v1::PlacementSpec& placement) {
  if (placement.dedicated_cpus() || placement.host_cpus_size() > 0) return CpuPolicy::kDedicated;
  switch (placement.cpu_policy()) {
    case v1::PlacementSpec::DEDICATED:
      return CpuPolicy::kDedicated;
    case v1::PlacementSpec::MIXED:
      return CpuPolicy::kMixed;
    default:
      return CpuPolicy::kShared;
  }
}

SiblingPolicy SiblingPolicyOf(v1::PlacementSpec::SiblingPolicy policy) {
  switch (policy) {
    case v1::PlacementSpec::ISOLATE:
      return SiblingPolicy::kIsolate;
    case v1::PlacementSpec::REQUIRE:
      return SiblingPolicy::kRequire;
    default:
      return SiblingPolicy::kPrefer;
  }
}

CoreKind CoreKindOf(v1::PlacementSpec::CoreKind kind) {
  switch (kind) {
    case v1::PlacementSpec::PERFORMANCE:
      return CoreKind::kPerformance;
    case v1::PlacementSpec::EFFICIENCY:
      return CoreKind::kEfficiency;
    default:
      return CoreKind::kAny;
  }
}

HelperPolicy HelperPolicyOf(v1::PlacementSpec::ThreadPolicy policy) {
  switch (policy) {
    case v1::PlacementSpec::ON_SHARED:
      return HelperPolicy::kShared;
    case v1::PlacementSpec::ISOLATED:
      return HelperPolicy::kIsolated;
    default:
      return HelperPolicy::kWithVcpus;
  }
}

DeviceAffinity AffinityOf(v1::AssignedDeviceSpec::Affinity affinity) {
  switch (affinity) {
    case v1::AssignedDeviceSpec::REQUIRED:
      return DeviceAffinity::kRequired;
    case v1::AssignedDeviceSpec::NONE:
      return DeviceAffinity::kNone;
    default:
      return DeviceAffinity::kPreferred;
  }
}

void SetNodes(const v1::GuestSpec& spec, PlacementRequest* request) {
  const v1::MemorySpec& memory = spec.memory();
  if (memory.node_count() != 0) {
    request->node_count = memory.node_count();
    request->size_bytes = static_cast<uint64_t>(memory.size_bytes());
    return;
  }
  for (const v1::GuestNodeSpec& node : memory.nodes()) {
    request->nodes.push_back({.size_bytes = static_cast<uint64_t>(node.size_bytes()),
                              .vcpus = {node.vcpus().begin(), node.vcpus().end()}});
  }
  if (!request->nodes.empty()) return;
  request->nodes.push_back({.size_bytes = static_cast<uint64_t>(memory.size_bytes())});
  for (int i = 0; i < request->vcpu_count; ++i) request->nodes[0].vcpus.push_back(i);
}

}  // namespace

PlacementRequest ToPlacementRequest(const v1::GuestSpec& spec, const std::vector<ResolvedDevice>& devices) {
  const v1::PlacementSpec& placement = spec.placement();
  PlacementRequest request{.vcpu_count = spec.cpus().vcpu_count(),
                           .threads_per_core = spec.cpus().threads_per_core(),
                           .cpu_policy = CpuPolicyOf(placement),
                           .sibling_policy = SiblingPolicyOf(placement.sibling_policy()),
                           .core_kind = CoreKindOf(placement.core_kind()),
                           .emulator = HelperPolicyOf(placement.emulator_threads()),
                           .io_threads = HelperPolicyOf(placement.io_threads()),
                           .io_thread_count = kIoThreads};
  if (spec.memory().page_size_bytes() != 0) request.page_size_bytes = spec.memory().page_size_bytes();
  SetNodes(spec, &request);
  request.host_nodes.assign(placement.host_nodes().begin(), placement.host_nodes().end());
  request.host_cpus.assign(placement.host_cpus().begin(), placement.host_cpus().end());
  for (int vcpu : placement.dedicated_vcpus()) request.dedicated_vcpus.Insert(vcpu);
  request.apart_from.assign(placement.apart_from().begin(), placement.apart_from().end());
  for (size_t i = 0; i < devices.size(); ++i) {
    request.devices.push_back({.affinity = AffinityOf(spec.assigned_devices(static_cast<int>(i)).affinity()),
                               .any_of = {static_cast<int>(request.candidates.size())}});
    request.candidates.push_back({.key = devices[i].key, .host_node = devices[i].host_node});
  }
  return request;
}

}  // namespace berth::server
