#include "server/guest/placement_view.h"

#include <algorithm>

#include <fmt/format.h>

#include "server/guest/reservation_view.h"
#include "server/placement/placement.h"

namespace berth::server {

std::string VcpuChild(int vcpu) { return fmt::format("vcpu{}", vcpu); }

std::string MemoryFileName(const std::string& guest_id, int node) {
  return fmt::format("{}-memory{}", guest_id, node);
}

v1::EffectivePlacement ToEffectivePlacement(const Placement& placement) {
  v1::EffectivePlacement shown;
  for (const Placement::Node& node : placement.nodes) {
    v1::MemoryPlacement* memory = shown.add_memory();
    uint64_t size_bytes = 0;
    for (const Placement::Memory& part : node.memory) {
      memory->add_host_nodes(part.host_node);
      size_bytes += part.size_bytes;
    }
    memory->set_size_bytes(static_cast<int64_t>(size_bytes));
    memory->mutable_vcpus()->Assign(node.vcpus.begin(), node.vcpus.end());
  }
  for (const host::CpuSet& cpus : placement.vcpus)
    shown.add_vcpus()->mutable_host_cpus()->Assign(cpus.begin(), cpus.end());
  shown.mutable_emulator_cpus()->Assign(placement.emulator.begin(), placement.emulator.end());
  for (const host::CpuSet& cpus : placement.io_threads)
    shown.mutable_io_cpus()->Assign(cpus.begin(), cpus.end());
  *shown.mutable_reserved() = ToHostReservation(placement.reservation);
  return shown;
}

host::CpuSet ToCpuSet(const google::protobuf::RepeatedField<int32_t>& numbers) {
  host::CpuSet set;
  for (int number : numbers) set.Insert(number);
  return set;
}

host::CpuSet VcpuCpus(const v1::EffectivePlacement& placement) {
  host::CpuSet all;
  for (const v1::VcpuPlacement& vcpu : placement.vcpus()) all = all | ToCpuSet(vcpu.host_cpus());
  return all;
}

host::CpuSet WholeCpus(const v1::EffectivePlacement& placement) {
  return VcpuCpus(placement) | ToCpuSet(placement.emulator_cpus()) | ToCpuSet(placement.io_cpus());
}

bool SharesCpus(const v1::Guest& guest) {
  const auto& nodes = guest.placement().reserved().nodes();
  return std::any_of(nodes.begin(), nodes.end(),
                     [](const v1::NodeReservation& node) { return node.shared_millicpus() > 0; });
}

}  // namespace berth::server
