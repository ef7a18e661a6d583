#include "server/guest/placement_check.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "base/log.h"
#include "base/pause.h"
#include "proto/guest_name.h"
#include "server/guest/placement_view.h"

namespace berth::server {
namespace {

host::GuestPlaces PlacesOf(const v1::Guest& guest) {
  const v1::EffectivePlacement& placement = guest.placement();
  host::GuestPlaces places{.process = guest.process_id()};
  places.cgroup.limits.cpus = WholeCpus(placement);
  const auto child = [&](const std::string& name, const host::CpuSet& cpus, int thread) {
    places.cgroup.children.push_back({.name = name, .limits = {.cpus = cpus}});
    if (thread > 0) places.threads.push_back({.id = thread, .child = name, .cpus = cpus});
  };
  for (int i = 0; i < placement.vcpus_size(); ++i)
    child(VcpuChild(i), ToCpuSet(placement.vcpus(i).host_cpus()), placement.vcpus(i).thread_id());
  child(kEmulatorChild, ToCpuSet(placement.emulator_cpus()), guest.process_id());
  child(kIoChild, ToCpuSet(placement.io_cpus()), 0);
  const uint64_t page_size = guest.spec().memory().page_size_bytes();
  const std::string id = GuestIdOf(guest.name());
  for (int i = 0; i < placement.memory_size(); ++i) {
    places.memory.push_back({.name = MemoryFileName(id, i),
                             .size_bytes = static_cast<uint64_t>(placement.memory(i).size_bytes()),
                             .page_size_bytes = page_size == 0 ? 4096 : page_size,
                             .nodes = ToCpuSet(placement.memory(i).host_nodes())});
  }
  return places;
}

}  // namespace

void CheckPlacement(Engine& engine, GuestEntry& entry) {
  const v1::Guest guest = entry.Get();
  if (guest.state() != v1::Guest::RUNNING) return;
  const auto cgroup = engine.executor.RecordOf(guest.uid(), "cgroup");
  if (!cgroup) return;
  const std::vector<std::string> found = engine.host.FindMisplaced(*cgroup, PlacesOf(guest));
  const auto& known = guest.placement().mismatches();
  if (std::equal(found.begin(), found.end(), known.begin(), known.end())) return;
  bool current = false;
  (void)engine.book.Change(entry, [&](StoredGuest& stored) {
    // It may have been stopped, or moved, while we looked.
    v1::EffectivePlacement* placement = stored.guest.mutable_placement();
    current = stored.guest.state() == v1::Guest::RUNNING && stored.guest.process_id() == guest.process_id() &&
              WholeCpus(*placement) == WholeCpus(guest.placement());
    if (!current) return;
    placement->mutable_mismatches()->Assign(found.begin(), found.end());
    placement->set_mismatch_count(placement->mismatch_count() + static_cast<int64_t>(found.size()));
  });
  if (!current) return;
  v1::Event event = EventOf(guest, v1::Event::PLACEMENT_MISMATCH);
  event.set_text(found.empty() ? "all is where it was put again" : fmt::format("{}", fmt::join(found, "; ")));
  LOG_WARNING("{}: {}", guest.name(), event.text());
  engine.events.Publish(std::move(event));
}

PlacementWatch::PlacementWatch(Engine& engine, std::chrono::milliseconds interval)
    : engine_(engine), interval_(interval), thread_([this](const std::stop_token& stop) { Run(stop); }) {}

void PlacementWatch::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Pause(stop, interval_);
    for (const GuestPtr& guest : engine_.book.All()) {
      if (!stop.stop_requested()) CheckPlacement(engine_, *guest);
    }
  }
}

}  // namespace berth::server
