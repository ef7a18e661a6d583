#include "server/placement/host_room.h"

#include <algorithm>

namespace berth::server {
namespace {

// Adds a reservation to the room's counts (`sign` 1), or takes it out again (-1).
NodeMask Count(const HostModel& model, const Reservation& reservation, int sign, HostRoom* room) {
  NodeMask touched = 0;
  for (const Reservation::Memory& memory : reservation.memory) {
    const int node = model.IndexOfNode(memory.host_node);
    if (node < 0) continue;
    touched |= NodeMask{1} << node;
    const auto& pages = model.nodes[node].pages;
    for (size_t i = 0; i < pages.size(); ++i) {
      if (pages[i].size_bytes == memory.page_size_bytes)
        room->nodes[node].promised_bytes[i] += static_cast<uint64_t>(sign) * memory.size_bytes;
    }
  }
  for (const Reservation::SharedCpus& shared : reservation.shared_cpus) {
    const int node = model.IndexOfNode(shared.host_node);
    if (node < 0) continue;
    touched |= NodeMask{1} << node;
    room->nodes[node].shared_millicpus += sign * shared.millicpus;
  }
  for (const Reservation::Device& device : reservation.devices) {
    const int node = device.host_node ? model.IndexOfNode(*device.host_node) : -1;
    if (node >= 0) room->nodes[node].devices -= sign;
  }
  for (int cpu : reservation.dedicated_cpus) {
    const int core = cpu < static_cast<int>(model.core_of_cpu.size()) ? model.core_of_cpu[cpu] : -1;
    if (core >= 0) touched |= NodeMask{1} << model.cores[core].node;
  }
  return touched;
}

// The bit of each of these CPUs in its core's mask; those that no guest may have are left out.
template <typename Function>
void ForEachDedicable(const HostModel& model, const host::CpuSet& cpus, Function&& function) {
  for (int cpu : cpus) {
    const int index = cpu < static_cast<int>(model.core_of_cpu.size()) ? model.core_of_cpu[cpu] : -1;
    if (index < 0) continue;
    const HostModel::Core& core = model.cores[index];
    const auto place = std::find(core.cpus.begin(), core.cpus.end(), cpu) - core.cpus.begin();
    function(index, static_cast<uint8_t>(core.dedicable & 1 << place));
  }
}

}  // namespace

HostRoom::HostRoom(const HostModel& model) {
  for (const HostModel::Core& core : model.cores) free.push_back(core.dedicable);
  for (const HostModel::Node& node : model.nodes) {
    nodes.push_back({.promised_bytes = std::vector<uint64_t>(node.pages.size()), .devices = node.devices});
  }
}

void HostRoom::Take(const HostModel& model, const Reservation& reservation) {
  const NodeMask touched = Count(model, reservation, 1, this);
  ForEachDedicable(model, reservation.dedicated_cpus,
                   [&](int core, uint8_t thread) { free[core] &= static_cast<uint8_t>(~thread); });
  for (const auto& device : reservation.devices) devices.insert(device.key);
  guests.push_back({.name = reservation.guest, .nodes = touched, .apart_from = reservation.apart_from});
}

void HostRoom::Return(const HostModel& model, const Reservation& reservation) {
  Count(model, reservation, -1, this);
  ForEachDedicable(model, reservation.dedicated_cpus,
                   [&](int core, uint8_t thread) { free[core] |= thread; });
  for (const auto& device : reservation.devices) devices.erase(device.key);
  const auto guest = std::find_if(guests.begin(), guests.end(),
                                  [&](const Guest& one) { return one.name == reservation.guest; });
  if (guest != guests.end()) guests.erase(guest);
}

HostRoom RoomBeside(const HostModel& model, const Ledger& ledger) {
  HostRoom room(model);
  for (const Reservation& reservation : ledger) room.Take(model, reservation);
  return room;
}

}  // namespace berth::server
