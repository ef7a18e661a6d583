// Incus's `limits.cpu.nodes=balanced` and its default placement in a cluster: the member, and on it the NUMA
// nodes, with the fewest instances. Sizes, memory and distance do not count; memory is where there is some.
#include <algorithm>
#include <numeric>

#include "server/placement/subsets.h"
#include "tests/bench/fleet/rule.h"

namespace berth::fleet {
namespace {

using server::NodeMask;

class Incus final : public Rule {
 public:
  std::string name() const override { return "incus"; }
  double Preference(const Host& host, const Arrival&) const override {
    return -static_cast<double>(host.room.guests.size());
  }

  std::optional<Offer> Place(const Host& host, const Arrival& guest, const std::string& name) const override {
    const int count = static_cast<int>(host.model->nodes.size());
    const int wanted = std::min((guest.vcpus * count + host.total_threads - 1) / host.total_threads, count);
    std::vector<int> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return InstancesOn(host, a) < InstancesOn(host, b); });
    NodeMask nodes = 0;
    for (int i = 0; i < std::max(wanted, 1); ++i) nodes |= NodeMask{1} << order[i];
    // What does not fit there is elsewhere: neither CPUs nor memory are held to the nodes' capacity.
    Offer offer{.reservation = {.guest = name}};
    if (!SpreadMemory(host, nodes, guest.bytes, &offer.reservation) &&
        !SpreadMemory(host, AllNodes(host), guest.bytes, &offer.reservation))
      return std::nullopt;
    if (!TakeDevices(host, 0, guest.devices, &offer.reservation)) return std::nullopt;
    if (!guest.dedicated) {
      const bool placed = SpreadShared(host, nodes, guest, &offer.reservation) ||
                          SpreadShared(host, AllNodes(host), guest, &offer.reservation);
      return placed ? std::optional(offer) : std::nullopt;
    }
    int left = guest.vcpus;
    for (int node : order) {
      const int taken = std::min(left, FreeThreads(host, node));
      TakeThreadsInOrder(host, node, taken, &offer.reservation);
      left -= taken;
    }
    return left == 0 ? std::optional(offer) : std::nullopt;
  }

 private:
  static long InstancesOn(const Host& host, int node) {
    return std::count_if(host.room.guests.begin(), host.room.guests.end(),
                         [&](const auto& guest) { return guest.nodes >> node & 1; });
  }
};

}  // namespace

std::unique_ptr<Rule> MakeIncus() { return std::make_unique<Incus>(); }

}  // namespace berth::fleet
