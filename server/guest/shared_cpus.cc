#include "server/guest/shared_cpus.h"

#include <algorithm>

#include "base/log.h"
#include "server/guest/placement_view.h"
#include "server/placement/cpus_to_share.h"

namespace berth::server {
namespace {

using Cpus = google::protobuf::RepeatedField<int32_t>;

NodeMask NodesOf(const HostModel& model, const v1::MemoryPlacement& memory) {
  NodeMask nodes = 0;
  for (int id : memory.host_nodes()) {
    if (const int index = model.IndexOfNode(id); index >= 0) nodes |= NodeMask{1} << index;
  }
  return nodes;
}

host::CpuSet HelperCpus(const v1::EffectivePlacement& placement, v1::PlacementSpec::ThreadPolicy policy,
                        const Cpus& now, const host::CpuSet& shared) {
  if (policy == v1::PlacementSpec::ISOLATED) return ToCpuSet(now);
  if (policy == v1::PlacementSpec::ON_SHARED) return shared;
  return VcpuCpus(placement);
}

// Widened first, so that no child is without CPUs meanwhile.
Status Move(Engine& engine, const v1::Guest& guest, const v1::EffectivePlacement& to) {
  const v1::EffectivePlacement& from = guest.placement();
  const std::string cgroup = TRY(engine.executor.RecordOf(guest.uid(), "cgroup"));
  TRY(engine.host.ChangeCpus(cgroup, "", WholeCpus(from) | WholeCpus(to)));
  for (int i = 0; i < to.vcpus_size(); ++i) {
    const host::CpuSet cpus = ToCpuSet(to.vcpus(i).host_cpus());
    if (cpus != ToCpuSet(from.vcpus(i).host_cpus())) TRY(engine.host.ChangeCpus(cgroup, VcpuChild(i), cpus));
  }
  TRY(engine.host.ChangeCpus(cgroup, kEmulatorChild, ToCpuSet(to.emulator_cpus())));
  TRY(engine.host.ChangeCpus(cgroup, kIoChild, ToCpuSet(to.io_cpus())));
  return engine.host.ChangeCpus(cgroup, "", WholeCpus(to));
}

void Refit(Engine& engine, const HostModel& model, const HostRoom& room, GuestEntry& entry) {
  const v1::Guest guest = entry.Get();
  if (guest.state() != v1::Guest::RUNNING || !SharesCpus(guest)) return;
  const v1::EffectivePlacement to = SharedAnew(model, room, guest);
  if (WholeCpus(to) == WholeCpus(guest.placement()) && VcpuCpus(to) == VcpuCpus(guest.placement())) return;
  const Status moved = Move(engine, guest, to);
  v1::Event event = EventOf(guest, moved ? v1::Event::PLACEMENT_CHANGED : v1::Event::PLACEMENT_MISMATCH);
  event.set_text(moved ? fmt::format("shares CPUs {} now, not {}", WholeCpus(to).ToString(),
                                     WholeCpus(guest.placement()).ToString())
                       : fmt::format("stays on CPUs that are others' now: {}", moved.error().message()));
  LOG_INFO("{} {}", guest.name(), event.text());
  engine.events.Publish(std::move(event));
  (void)engine.book.Change(entry, [&](StoredGuest& stored) {
    v1::EffectivePlacement* placement = stored.guest.mutable_placement();
    if (stored.guest.state() != v1::Guest::RUNNING || placement->vcpus_size() != to.vcpus_size()) return;
    // What it is to be, also where it could not be moved: the next look then says so.
    if (!moved) placement->set_mismatch_count(placement->mismatch_count() + 1);
    for (int i = 0; i < to.vcpus_size(); ++i)
      *placement->mutable_vcpus(i)->mutable_host_cpus() = to.vcpus(i).host_cpus();
    *placement->mutable_emulator_cpus() = to.emulator_cpus();
    *placement->mutable_io_cpus() = to.io_cpus();
  });
}

}  // namespace

v1::EffectivePlacement SharedAnew(const HostModel& model, const HostRoom& room, const v1::Guest& guest) {
  v1::EffectivePlacement placement = guest.placement();
  const host::CpuSet dedicated = ToCpuSet(placement.reserved().dedicated_cpus());
  host::CpuSet first;
  for (const v1::MemoryPlacement& memory : guest.placement().memory()) {
    const host::CpuSet shared = CpusToShare(model, room.free, NodesOf(model, memory));
    if (&memory == &guest.placement().memory(0)) first = shared;
    for (int vcpu : memory.vcpus()) {
      if (vcpu < 0 || vcpu >= placement.vcpus_size() || shared.empty()) continue;
      Cpus* cpus = placement.mutable_vcpus(vcpu)->mutable_host_cpus();
      if ((ToCpuSet(*cpus) & dedicated).empty()) cpus->Assign(shared.begin(), shared.end());
    }
  }
  if (first.empty()) return placement;
  const v1::PlacementSpec& spec = guest.spec().placement();
  const host::CpuSet emulator =
      HelperCpus(placement, spec.emulator_threads(), placement.emulator_cpus(), first);
  placement.mutable_emulator_cpus()->Assign(emulator.begin(), emulator.end());
  const host::CpuSet io = HelperCpus(placement, spec.io_threads(), placement.io_cpus(), first);
  placement.mutable_io_cpus()->Assign(io.begin(), io.end());
  return placement;
}

void RefitGuests(Engine& engine) {
  MutexLock lock(engine.refitting);
  const std::vector<GuestPtr> guests = engine.book.All();
  if (std::none_of(guests.begin(), guests.end(), [](const GuestPtr& guest) {
        const v1::Guest shown = guest->Get();
        return shown.state() == v1::Guest::RUNNING && SharesCpus(shown);
      })) {
    return;
  }
  const auto host = engine.host.Snapshot();
  if (!host) {
    LOG_ERROR("cannot look which CPUs guests share: {}", host.error().message());
    return;
  }
  const HostModel model = MakeHostModel(*host, engine.settings.policy.pools);
  if (!model.common_pool) return;
  const HostRoom room = RoomBeside(model, LedgerOf(guests));
  for (const GuestPtr& guest : guests) Refit(engine, model, room, *guest);
}

}  // namespace berth::server
