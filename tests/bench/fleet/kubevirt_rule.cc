// KubeVirt over kubelet's static CPU manager and its topology manager's `best-effort`: guests with CPUs of
// their own get the narrowest set of nodes that has CPUs and devices, or else CPUs alone; memory is split
// evenly over the nodes of the vCPUs and strict; others float over what is shared. The scheduler prefers
// hosts least allocated.
#include <algorithm>
#include <bit>

#include "server/placement/subsets.h"
#include "tests/bench/fleet/rule.h"

namespace berth::fleet {
namespace {

using server::IndicesOf;
using server::NodeMask;
using server::Reservation;

class KubeVirt final : public Rule {
 public:
  std::string name() const override { return "kubevirt"; }
  double Preference(const Host& host, const Arrival&) const override {
    return static_cast<double>(host.bytes) / static_cast<double>(host.total_bytes) +
           static_cast<double>(host.millicpus) / (1000.0 * host.total_threads);
  }

  std::optional<Offer> Place(const Host& host, const Arrival& guest, const std::string& name) const override {
    Offer offer{.reservation = {.guest = name}};
    if (!guest.dedicated) {
      if (!SpreadShared(host, AllNodes(host), guest, &offer.reservation)) return std::nullopt;
      if (!SpreadMemory(host, AllNodes(host), guest.bytes, &offer.reservation)) return std::nullopt;
      return offer;
    }
    NodeMask nodes = Narrowest(host, guest.vcpus, guest.devices);
    if (nodes == 0) nodes = Narrowest(host, guest.vcpus, 0);
    if (nodes == 0 || !TakeDevices(host, nodes, guest.devices, &offer.reservation)) return std::nullopt;
    const NodeMask used = TakeByTopology(host, nodes, guest.vcpus, &offer.reservation);
    const std::vector<int> memory = IndicesOf(used);
    for (int node : memory) {
      const uint64_t part = guest.bytes / memory.size();
      if (FreeBytes(host, node) < part) return std::nullopt;
      offer.reservation.memory.push_back({.host_node = host.model->nodes[node].id, .size_bytes = part});
    }
    return offer;
  }

 private:
  static NodeMask Narrowest(const Host& host, int vcpus, int devices) {
    for (size_t size = 1; size <= host.model->nodes.size(); ++size) {
      for (NodeMask nodes : server::Subsets(*host.model, AllNodes(host), static_cast<int>(size), 1'000)) {
        int threads = 0, found = 0;
        for (int node : IndicesOf(nodes)) {
          threads += FreeThreads(host, node);
          found += host.room.nodes[node].devices;
        }
        if (threads >= vcpus && found >= devices) return nodes;
      }
    }
    return 0;
  }

  // takeByTopology: whole cores of the nodes in order, then single threads of those with fewest left.
  static NodeMask TakeByTopology(const Host& host, NodeMask nodes, int vcpus, Reservation* reservation) {
    NodeMask used = 0;
    std::vector<int> fragments;
    for (int node : IndicesOf(nodes)) {
      int room = FreeThreads(host, node);
      for (int index : host.model->nodes[node].cores) {
        const auto& core = host.model->cores[index];
        const int free = std::popcount(host.room.free[index]);
        const bool whole = free == static_cast<int>(core.cpus.size());
        if (!whole || vcpus < free || room < free) {
          if (free > 0) fragments.push_back(index);
          continue;
        }
        for (int cpu : core.cpus) reservation->dedicated_cpus.Insert(cpu);
        vcpus -= free;
        room -= free;
        used |= NodeMask{1} << node;
      }
    }
    std::stable_sort(fragments.begin(), fragments.end(), [&](int a, int b) {
      return std::popcount(host.room.free[a]) < std::popcount(host.room.free[b]);
    });
    for (int index : fragments) {
      const auto& core = host.model->cores[index];
      for (size_t i = 0; i < core.cpus.size() && vcpus > 0; ++i) {
        if ((host.room.free[index] >> i & 1) == 0) continue;
        reservation->dedicated_cpus.Insert(core.cpus[i]);
        used |= NodeMask{1} << core.node;
        --vcpus;
      }
    }
    return used;
  }
};

}  // namespace

std::unique_ptr<Rule> MakeKubeVirt() { return std::make_unique<KubeVirt>(); }

}  // namespace berth::fleet
