#include "server/placement/placement.h"

#include "server/placement/choose.h"
#include "server/placement/host_cpus.h"

namespace berth::server {

host::CpuSet Placement::AllCpus() const {
  host::CpuSet all;
  const host::CpuSet* last = nullptr;
  for (const host::CpuSet& cpus : vcpus) {
    // vCPUs that share do so on the same CPUs, mostly.
    if (last != nullptr && *last == cpus) continue;
    for (int cpu : cpus) all.Insert(cpu);
    last = &cpus;
  }
  return all;
}

host::CpuSet Placement::AllNodes() const {
  host::CpuSet all;
  for (const Node& node : nodes) {
    for (const Memory& memory : node.memory) all.Insert(memory.host_node);
  }
  return all;
}

Result<Placement> Place(const host::HostSnapshot& host, const Ledger& ledger, const PlacementRequest& request,
                        const CpuPools& pools) {
  const HostModel model = MakeHostModel(host, pools);
  const HostRoom room = RoomBeside(model, ledger);
  TRY(CheckHostCpus(host, model, room, ledger, request.host_cpus));
  return Assemble(model, room, request, TRY(Choose(model, room, request)));
}

}  // namespace berth::server
