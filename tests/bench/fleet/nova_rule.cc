// OpenStack Nova's published rule (nova/virt/hardware.py, nova/scheduler/weights): guests with CPUs of their
// own have NUMA nodes, others float over the host.
#include <algorithm>
#include <bit>
#include <numeric>

#include "server/placement/subsets.h"
#include "tests/bench/fleet/rule.h"

namespace berth::fleet {
namespace {

using server::NodeMask;
using server::Reservation;

// _pack_instance_onto_cores: the most threads a core that suffice, the first so many of every core that has
// them.
bool PackOntoCores(const Host& host, int node, int vcpus, Reservation* reservation) {
  const auto& cores = host.model->nodes[node].cores;
  for (int threads = host.model->threads_per_core; threads > 0; --threads) {
    int found = 0;
    for (int core : cores) found += std::popcount(host.room.free[core]) >= threads ? threads : 0;
    if (found < vcpus) continue;
    int left = vcpus;
    for (int index : cores) {
      if (std::popcount(host.room.free[index]) < threads) continue;
      const auto& core = host.model->cores[index];
      int taken = 0;
      for (size_t i = 0; i < core.cpus.size() && taken < threads && left > 0; ++i) {
        if ((host.room.free[index] >> i & 1) == 0) continue;
        reservation->dedicated_cpus.Insert(core.cpus[i]);
        ++taken;
        --left;
      }
    }
    return true;
  }
  return false;
}

class Nova final : public Rule {
 public:
  std::string name() const override { return "nova"; }

  // RAMWeigher, CPUWeigher and PCIWeigher, each with its default multiplier of 1: spread, PCI hosts last.
  double Preference(const Host& host, const Arrival& guest) const override {
    const double memory = static_cast<double>(host.bytes) / static_cast<double>(host.total_bytes);
    const double cpus = static_cast<double>(host.millicpus) / (1000.0 * host.total_threads);
    const double pci = (100 - std::min(host.devices, 99)) / 100.0;
    return memory + cpus + (guest.devices > 0 || host.devices > 0 ? pci : 1);
  }

  std::optional<Offer> Place(const Host& host, const Arrival& guest, const std::string& name) const override {
    Offer offer{.reservation = {.guest = name}};
    if (!guest.dedicated) {
      if (!SpreadShared(host, AllNodes(host), guest, &offer.reservation)) return std::nullopt;
      if (!SpreadMemory(host, AllNodes(host), guest.bytes, &offer.reservation)) return std::nullopt;
      return offer;
    }
    // The flavor's hw:numa_nodes: one if a node of this host is large enough, else what makes it so.
    const int nodes = static_cast<int>(host.model->nodes.size());
    const int cells = std::max((guest.vcpus * nodes + host.total_threads - 1) / host.total_threads, 1);
    if (cells > nodes || guest.vcpus % cells != 0) return std::nullopt;
    std::vector<int> order(nodes);
    std::iota(order.begin(), order.end(), 0);
    if (nodes > cells) SortNodes(host, guest, &order);
    std::vector<int> chosen;
    if (!Permute(host, guest, order, cells, &chosen, &offer.reservation)) return std::nullopt;
    return offer;
  }

 private:
  static void SortNodes(const Host& host, const Arrival& guest, std::vector<int>* order) {
    std::stable_sort(order->begin(), order->end(),
                     [&](int a, int b) { return FreeBytes(host, a) > FreeBytes(host, b); });
    std::stable_sort(order->begin(), order->end(),
                     [&](int a, int b) { return FreeThreads(host, a) > FreeThreads(host, b); });
    std::stable_sort(order->begin(), order->end(), [&](int a, int b) {
      const int devices_a = host.room.nodes[a].devices, devices_b = host.room.nodes[b].devices;
      return guest.devices > 0 ? devices_a > devices_b : devices_a < devices_b;
    });
  }

  // itertools.permutations, the first that fits.
  static bool Permute(const Host& host, const Arrival& guest, const std::vector<int>& order, int cells,
                      std::vector<int>* chosen, Reservation* reservation) {
    if (static_cast<int>(chosen->size()) == cells) return Fits(host, guest, *chosen, reservation);
    for (int node : order) {
      if (std::find(chosen->begin(), chosen->end(), node) != chosen->end()) continue;
      chosen->push_back(node);
      if (Permute(host, guest, order, cells, chosen, reservation)) return true;
      chosen->pop_back();
    }
    return false;
  }

  static bool Fits(const Host& host, const Arrival& guest, const std::vector<int>& nodes,
                   Reservation* reservation) {
    Reservation tried{.guest = reservation->guest};
    NodeMask mask = 0;
    const auto cells = static_cast<int>(nodes.size());
    for (int node : nodes) {
      const uint64_t bytes = guest.bytes / nodes.size();
      if (FreeBytes(host, node) < bytes || FreeThreads(host, node) < guest.vcpus / cells) return false;
      if (!PackOntoCores(host, node, guest.vcpus / cells, &tried)) return false;
      tried.memory.push_back({.host_node = host.model->nodes[node].id, .size_bytes = bytes});
      mask |= NodeMask{1} << node;
    }
    // PCI policy `legacy`, the default: devices with a node are of the guest's nodes.
    int devices = 0;
    for (int node : nodes) devices += host.room.nodes[node].devices;
    if (devices < guest.devices || !TakeDevices(host, mask, guest.devices, &tried)) return false;
    *reservation = std::move(tried);
    return true;
  }
};

}  // namespace

std::unique_ptr<Rule> MakeNova() { return std::make_unique<Nova>(); }

}  // namespace berth::fleet
