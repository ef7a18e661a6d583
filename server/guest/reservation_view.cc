#include "server/guest/reservation_view.h"

namespace berth::server {
namespace {

v1::NodeReservation* NodeOf(v1::HostReservation* shown, int host_node) {
  for (v1::NodeReservation& node : *shown->mutable_nodes()) {
    if (node.host_node() == host_node) return &node;
  }
  v1::NodeReservation* node = shown->add_nodes();
  node->set_host_node(host_node);
  return node;
}

}  // namespace

v1::HostReservation ToHostReservation(const Reservation& reservation) {
  v1::HostReservation shown;
  for (int cpu : reservation.dedicated_cpus) shown.add_dedicated_cpus(cpu);
  for (const Reservation::Memory& memory : reservation.memory) {
    v1::MemoryReservation* pages = NodeOf(&shown, memory.host_node)->add_memory();
    pages->set_page_size_bytes(static_cast<int64_t>(memory.page_size_bytes));
    pages->set_size_bytes(static_cast<int64_t>(memory.size_bytes));
  }
  for (const Reservation::SharedCpus& shared : reservation.shared_cpus)
    NodeOf(&shown, shared.host_node)->set_shared_millicpus(shared.millicpus);
  return shown;
}

Reservation ToReservation(const v1::Guest& guest) {
  Reservation reservation{.guest = guest.name(), .vcpus = guest.spec().cpus().vcpu_count()};
  const v1::HostReservation& shown = guest.placement().reserved();
  const auto& apart_from = guest.spec().placement().apart_from();
  reservation.apart_from.assign(apart_from.begin(), apart_from.end());
  for (int cpu : shown.dedicated_cpus()) reservation.dedicated_cpus.Insert(cpu);
  for (const v1::NodeReservation& node : shown.nodes()) {
    for (const v1::MemoryReservation& pages : node.memory()) {
      reservation.memory.push_back({.host_node = node.host_node(),
                                    .page_size_bytes = static_cast<uint64_t>(pages.page_size_bytes()),
                                    .size_bytes = static_cast<uint64_t>(pages.size_bytes())});
    }
    if (node.shared_millicpus() > 0)
      reservation.shared_cpus.push_back(
          {.host_node = node.host_node(), .millicpus = node.shared_millicpus()});
  }
  for (const v1::ClaimedDevice& device : guest.claimed_devices()) {
    Reservation::Device& taken = reservation.devices.emplace_back();
    taken.key = device.host_device();
    if (device.has_host_node()) taken.host_node = device.host_node();
  }
  return reservation;
}

}  // namespace berth::server
