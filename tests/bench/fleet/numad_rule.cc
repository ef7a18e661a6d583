// numad's advice to libvirt (`numad -w vcpus:MiB`, once at start). It knows no devices and no exclusive CPUs;
// it is told here what is promised, where the real one looks at what happens to be idle. It chooses no host:
// it gets Berth's order.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "server/placement/subsets.h"
#include "tests/bench/fleet/rule.h"

namespace berth::fleet {
namespace {

using server::NodeMask;

constexpr double kMarginMb = 100;

double Megabytes(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

class Numad final : public Rule {
 public:
  std::string name() const override { return "numad"; }
  double Preference(const Host&, const Arrival&) const override { return 0; }

  std::optional<Offer> Place(const Host& host, const Arrival& guest, const std::string& name) const override {
    const int count = static_cast<int>(host.model->nodes.size());
    std::vector<double> cpus, memory;
    for (int node = 0; node < count; ++node) {
      cpus.push_back(FreeThreads(host, node));
      memory.push_back(Megabytes(FreeBytes(host, node)));
    }
    const double wanted_memory = Megabytes(guest.bytes), wanted_cpus = guest.vcpus;
    const double node_memory = Megabytes(host.model->nodes[0].pages[0].total_bytes);
    const double node_cpus = static_cast<double>(host.total_threads) / count;
    const int least = std::clamp(static_cast<int>(std::max(std::ceil(wanted_memory / node_memory),
                                                           std::ceil(wanted_cpus / node_cpus))),
                                 1, count);
    const auto magnitude = [&](int node) {
      const double mb =
          10 * std::min(memory[node], wanted_memory) + 4 * std::max(memory[node] - wanted_memory, 0.0);
      const double cpu = 6 * std::min(cpus[node], wanted_cpus) + std::max(cpus[node] - wanted_cpus, 0.0);
      return mb * cpu;
    };
    std::vector<int> best_order;
    double best = -1;
    for (int node = 0; node < count; ++node) {
      const auto& distances = host.model->nodes[node].distances;
      std::vector<int> order(count);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
        if (distances[a] != distances[b]) return distances[a] < distances[b];
        return magnitude(a) > magnitude(b);
      });
      double sum = 0;
      for (int i = 0; i < least; ++i)
        sum += magnitude(order[i]) / (distances[order[i]] * distances[order[i]]);
      if (sum <= best) continue;
      best = sum;
      best_order = order;
    }
    // In order of distance until there is enough, and once more while what is promised does not fit.
    Offer offer{.reservation = {.guest = name}};
    NodeMask nodes = 0;
    double have_memory = -kMarginMb, have_cpus = 0;
    for (int i = 0; i < count; ++i) {
      const int node = best_order[i];
      nodes |= NodeMask{1} << node;
      have_memory += memory[node];
      have_cpus += cpus[node];
      const bool last = i + 1 == count;
      if (!last && (i + 1 < least || have_memory < wanted_memory || have_cpus < wanted_cpus)) continue;
      offer.reservation = {.guest = name};
      if (Reserve(host, nodes, guest, &offer.reservation)) return offer;
    }
    return std::nullopt;
  }

 private:
  static bool Reserve(const Host& host, NodeMask nodes, const Arrival& guest,
                      server::Reservation* reservation) {
    if (!SpreadMemory(host, nodes, guest.bytes, reservation)) return false;
    if (!TakeDevices(host, 0, guest.devices, reservation)) return false;
    if (!guest.dedicated) return SpreadShared(host, nodes, guest, reservation);
    int left = guest.vcpus;
    for (int node : server::IndicesOf(nodes)) {
      const int taken = std::min(left, FreeThreads(host, node));
      TakeThreadsInOrder(host, node, taken, reservation);
      left -= taken;
    }
    return left == 0;
  }
};

}  // namespace

std::unique_ptr<Rule> MakeNumad() { return std::make_unique<Numad>(); }

}  // namespace berth::fleet
