// What a guest asks of the host's CPUs, memory and devices: plain data. Counts and sizes were checked
// (server/guest/spec_check.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/cpu_set.h"

namespace berth::server {

// kDedicated: a host CPU for each vCPU alone. kMixed: for those in PlacementRequest::dedicated_vcpus.
enum class CpuPolicy { kShared, kDedicated, kMixed };

// How dedicated vCPUs use a core's threads. kPrefer: whole cores, an odd one on a core that is broken
// already. kIsolate: a core for each vCPU, its other threads idle. kRequire: whole cores only, on a host that
// has several threads a core.
enum class SiblingPolicy { kPrefer, kIsolate, kRequire };

// kRequired: the device is on a host node that has memory of the guest's. kPreferred: as near as can be.
enum class DeviceAffinity { kRequired, kPreferred, kNone };

// Where the threads that are no vCPUs run. kIsolated: CPUs of their own, on guest node 0.
enum class HelperPolicy { kWithVcpus, kShared, kIsolated };

enum class CoreKind { kAny, kPerformance, kEfficiency };

struct DeviceCandidate {
  std::string key;
  std::optional<int> host_node;  // None if the host does not say: near to every node.
};

struct DeviceRequest {
  DeviceAffinity affinity = DeviceAffinity::kPreferred;
  std::vector<int> any_of;  // Indices of PlacementRequest::candidates: "any VF of this PF".
};

struct PlacementRequest {
  std::string guest;  // "guests/a"
  struct Node {
    uint64_t size_bytes = 0;
    std::vector<int> vcpus;
    std::optional<int> host_node;  // This one only.
  };
  // The guest's NUMA nodes: at least one, at most kMaxGuestNodes.
  std::vector<Node> nodes;
  // In place of `nodes`, if more than 0 or automatic: so many even ones out of these sizes.
  // kAutomaticNodes: as few as the host can do.
  static constexpr int kAutomaticNodes = -1;
  int node_count = 0;
  uint64_t size_bytes = 0;  // With node_count: split by the nodes' vCPUs.

  int vcpu_count = 0;
  // Of a guest's core; these share a host core if they are dedicated. 0: as the host's allow.
  int threads_per_core = 1;
  uint64_t page_size_bytes = 4096;
  std::vector<int> host_nodes;  // Only these; empty: any that has CPUs.
  CpuPolicy cpu_policy = CpuPolicy::kShared;
  host::CpuSet dedicated_vcpus;  // kMixed.
  SiblingPolicy sibling_policy = SiblingPolicy::kPrefer;
  CoreKind core_kind = CoreKind::kAny;
  std::vector<int> host_cpus;  // Exactly these, by vCPU; empty: any. All dedicated.

  // What a shared vCPU counts for, in thousandths of a host CPU: 1000 / the ratio of overcommitment, 0 to
  // 1000.
  int millicpus_per_shared_vcpu = 250;
  // What memory in ordinary pages counts for, in thousandths of its size, 1 to 1000.
  int memory_permille = 1000;
  uint64_t overhead_bytes = 0;  // The monitor's own memory, on guest node 0.

  HelperPolicy emulator = HelperPolicy::kWithVcpus;
  HelperPolicy io_threads = HelperPolicy::kWithVcpus;
  int io_thread_count = 0;

  std::vector<DeviceCandidate> candidates;
  std::vector<DeviceRequest> devices;  // At most kMaxDevices.
  // Guests with which it shares no host node.
  std::vector<std::string> apart_from;

  bool IsDedicated(int vcpu) const {
    return cpu_policy == CpuPolicy::kDedicated ||
           (cpu_policy == CpuPolicy::kMixed && dedicated_vcpus.Contains(vcpu));
  }
};

inline constexpr int kMaxGuestNodes = 8;
inline constexpr int kMaxDevices = 32;

}  // namespace berth::server
