#include "server/guest/spec_check.h"

#include <set>

#include "base/bytes.h"
#include "server/guest/device_spec_check.h"
#include "server/guest/field_error.h"
#include "server/guest/placement_spec_check.h"
#include "server/guest/resource_policy.h"
#include "server/placement/request.h"
#include "server/volume/volume_name.h"

namespace berth::server {
namespace {

constexpr int kMaxVcpus = 255;
constexpr int kMaxSockets = 64;
constexpr int kMaxThreadsPerCore = 8;
constexpr int kMaxNodes = kMaxGuestNodes;
constexpr int kAutomaticNodes = PlacementRequest::kAutomaticNodes;
constexpr int64_t kMinMemory = 16 * kMiB;
constexpr int64_t kMaxMemory = int64_t{64} << 40;
constexpr size_t kMaxCommandLineBytes = 2047;  // COMMAND_LINE_SIZE of x86's Linux, less its end.

Status CheckCpus(const v1::GuestSpec& spec) {
  if (!spec.has_cpus() || spec.cpus().vcpu_count() == 0) return MissingField("cpus.vcpu_count");
  const v1::CpuSpec& cpus = spec.cpus();
  if (cpus.vcpu_count() < 1 || cpus.vcpu_count() > kMaxVcpus) {
    return BadField("cpus.vcpu_count", "{} is not between 1 and {}", cpus.vcpu_count(), kMaxVcpus);
  }
  if (cpus.threads_per_core() < 0 || cpus.threads_per_core() > kMaxThreadsPerCore) {
    return BadField("cpus.threads_per_core", "{} is not between 0 and {}", cpus.threads_per_core(),
                    kMaxThreadsPerCore);
  }
  if (cpus.socket_count() < 0 || cpus.socket_count() > kMaxSockets) {
    return BadField("cpus.socket_count", "{} is not between 0 and {}", cpus.socket_count(), kMaxSockets);
  }
  const int unit = std::max(cpus.threads_per_core(), 1) * std::max(cpus.socket_count(), 1);
  if (cpus.vcpu_count() % unit != 0) {
    return BadField("cpus.vcpu_count", "{} vCPUs do not fill {} sockets of cores with {} threads",
                    cpus.vcpu_count(), std::max(cpus.socket_count(), 1),
                    std::max(cpus.threads_per_core(), 1));
  }
  return Ok();
}

Status CheckNodes(const v1::GuestSpec& spec, int64_t page_size) {
  const v1::MemorySpec& memory = spec.memory();
  if (memory.nodes_size() > kMaxNodes) return BadField("memory.nodes", "at most {} nodes", kMaxNodes);
  int64_t sum = 0;
  std::set<int> vcpus;
  for (int i = 0; i < memory.nodes_size(); ++i) {
    const v1::GuestNodeSpec& node = memory.nodes(i);
    const std::string field = fmt::format("memory.nodes[{}]", i);
    if (node.size_bytes() <= 0 || node.size_bytes() > kMaxMemory || node.size_bytes() % page_size != 0) {
      return BadField(field + ".size_bytes", "must be a multiple of {} and at most {}", page_size,
                      kMaxMemory);
    }
    sum += node.size_bytes();
    for (int vcpu : node.vcpus()) {
      if (vcpu < 0 || vcpu >= spec.cpus().vcpu_count())
        return BadField(field + ".vcpus", "there is no vCPU {}", vcpu);
      if (!vcpus.insert(vcpu).second) return BadField(field + ".vcpus", "vCPU {} is on two nodes", vcpu);
    }
    if (node.distances_size() != 0 && node.distances_size() != memory.nodes_size()) {
      return BadField(field + ".distances", "must be one for each node, or none");
    }
    for (int j = 0; j < node.distances_size(); ++j) {
      const bool good = i == j ? node.distances(j) == 10 : node.distances(j) > 10 && node.distances(j) < 255;
      if (!good)
        return BadField(field + ".distances", "10 to itself and 11 to 254 to others, not {}",
                        node.distances(j));
    }
  }
  if (memory.nodes_size() == 0) return Ok();
  if (static_cast<int>(vcpus.size()) != spec.cpus().vcpu_count()) {
    return BadField("memory.nodes", "{} of {} vCPUs are on a node", vcpus.size(), spec.cpus().vcpu_count());
  }
  if (memory.size_bytes() != 0 && memory.size_bytes() != sum) {
    return BadField("memory.size_bytes", "{} is not the sum of the nodes, {}", memory.size_bytes(), sum);
  }
  return Ok();
}

// Each of the even nodes has a core of the guest's at least.
Status CheckNodeCount(const v1::GuestSpec& spec) {
  const int count = spec.memory().node_count();
  if (count == 0) return Ok();
  if (count < kAutomaticNodes || count > kMaxNodes) {
    return BadField("memory.node_count", "{} is not between {} and {}", count, kAutomaticNodes, kMaxNodes);
  }
  if (spec.memory().nodes_size() > 0) return BadField("memory.node_count", "the nodes are given one by one");
  if (count * std::max(spec.cpus().threads_per_core(), 1) > spec.cpus().vcpu_count()) {
    return BadField("memory.node_count", "{} nodes, and {} vCPUs are fewer cores", count,
                    spec.cpus().vcpu_count());
  }
  return Ok();
}

Status CheckMemory(const v1::GuestSpec& spec) {
  const v1::MemorySpec& memory = spec.memory();
  const int64_t page_size = memory.page_size_bytes() == 0 ? 4096 : memory.page_size_bytes();
  if (page_size < 4096 || page_size > static_cast<int64_t>(kGiB) || !IsPowerOfTwo(page_size)) {
    return BadField("memory.page_size_bytes", "{} is no page size", page_size);
  }
  TRY(CheckNodes(spec, page_size));
  TRY(CheckNodeCount(spec));
  if (!spec.has_memory() || MemorySize(spec) == 0) return MissingField("memory.size_bytes");
  const int64_t size = MemorySize(spec);
  if (size < kMinMemory || size > kMaxMemory || size % page_size != 0) {
    return BadField("memory.size_bytes", "{} is not a multiple of {} between {} and {}", size, page_size,
                    kMinMemory, kMaxMemory);
  }
  if (memory.balloon() && (spec.assigned_devices_size() > 0 || spec.hot_plug_ports_size() > 0)) {
    return BadField("memory.balloon",
                    "memory of a guest with assigned devices is pinned and cannot be given back");
  }
  return Ok();
}

Status CheckBoot(const v1::BootSpec& boot) {
  TRY(CheckPathField("boot.kernel_path", boot.kernel_path()));
  if (!boot.initrd_path().empty()) TRY(CheckPathField("boot.initrd_path", boot.initrd_path()));
  if (boot.command_line().size() > kMaxCommandLineBytes) {
    return BadField("boot.command_line", "is longer than {} bytes", kMaxCommandLineBytes);
  }
  for (char c : boot.command_line()) {
    if (c == '\0' || c == '\n') return BadField("boot.command_line", "contains a control character");
  }
  return Ok();
}

}  // namespace

Status CheckGuestId(const std::string& id) {
  if (IsResourceId(id)) return Ok();
  return Fail(
      Error(
          Code::kInvalidArgument,
          fmt::format("\"{}\" is no guest id: 1 to 63 of a-z, 0-9 and '-', a letter first, no '-' last", id))
          .Reason("BAD_GUEST_ID")
          .Field("guest_id"));
}

Status CheckLabels(const v1::Guest& guest) {
  bool good = guest.labels_size() <= 64;
  for (const auto& [key, value] : guest.labels()) good = good && CheckGuestId(key) && value.size() <= 63;
  if (good) return Ok();
  return Fail(
      Error(Code::kInvalidArgument, "labels: at most 64, keys as a guest's id, values at most 63 bytes")
          .Reason("BAD_LABELS")
          .Field("guest.labels"));
}

Status CheckSpec(const v1::GuestSpec& spec) {
  TRY(CheckCpus(spec));
  TRY(CheckMemory(spec));
  TRY(CheckBoot(spec.boot()));
  TRY(CheckDevices(spec));
  TRY(CheckPlacementSpec(spec));
  TRY(CheckResourcePolicy(spec));
  if (!v1::ConsoleSpec::Source_IsValid(spec.console().source())) {
    return BadField("console.source", "unknown value {}", int{spec.console().source()});
  }
  if (!v1::ResetPolicy_IsValid(spec.on_reset()))
    return BadField("on_reset", "unknown value {}", int{spec.on_reset()});
  return Ok();
}

int64_t MemorySize(const v1::GuestSpec& spec) {
  if (spec.memory().nodes_size() == 0) return spec.memory().size_bytes();
  int64_t sum = 0;
  for (const auto& node : spec.memory().nodes()) sum += node.size_bytes();
  return sum;
}

}  // namespace berth::server
