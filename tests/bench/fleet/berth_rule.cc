#include <algorithm>

#include "server/placement/choose.h"
#include "tests/bench/fleet/rule.h"
#include "tests/fakes/made_host.h"

namespace berth::fleet {
namespace {

using namespace server;

PlacementRequest RequestOf(const Host& host, const Arrival& guest, const std::string& name) {
  PlacementRequest request{.guest = name, .vcpu_count = guest.vcpus};
  request.threads_per_core = 0;
  request.cpu_policy = guest.dedicated ? CpuPolicy::kDedicated : CpuPolicy::kShared;
  request.millicpus_per_shared_vcpu = kMillicpusPerSharedVcpu;
  request.nodes.push_back({.size_bytes = guest.bytes});
  for (int i = 0; i < guest.vcpus; ++i) request.nodes[0].vcpus.push_back(i);
  if (guest.devices == 0) return request;
  // As near as can be, and not refused for it: what the other rules do, too.
  DeviceRequest pool{.affinity = DeviceAffinity::kPreferred};
  for (size_t node = 0; node < host.model->nodes.size(); ++node) {
    for (std::string& key : host.FreeDevices(static_cast<int>(node), kMaxDevices)) {
      pool.any_of.push_back(static_cast<int>(request.candidates.size()));
      request.candidates.push_back({.key = std::move(key), .host_node = host.model->nodes[node].id});
    }
  }
  request.devices.assign(guest.devices, pool);
  return request;
}

class Berth final : public Rule {
 public:
  std::string name() const override { return "berth"; }

  // The host with least left that holds the guest, so that large holes remain. Those with devices are for
  // guests that want them, and of these the one with the fewest left, so that guests that want several find
  // them on one host.
  double Preference(const Host& host, const Arrival& guest) const override {
    constexpr double kBytesPerCpu = 4.0 * (1 << 30);
    const double cpus = static_cast<double>(host.millicpus) / 1000;
    const double memory = static_cast<double>(host.bytes) / kBytesPerCpu;
    constexpr double kMoreThanAnyHost = 1e6;
    if (guest.devices > 0) return -(cpus + memory) - host.devices * kMoreThanAnyHost;
    return -(cpus + memory) - (host.devices > 0 ? kMoreThanAnyHost : 0);
  }
  int compares() const override { return 4; }

  std::optional<Offer> Place(const Host& host, const Arrival& guest, const std::string& name) const override {
    const PlacementRequest request = RequestOf(host, guest, name);
    const auto choice = Choose(*host.model, host.room, request);
    if (!choice) return std::nullopt;
    const int nodes = __builtin_popcountll(choice->nodes);
    const bool far = choice->score.device_distance > 0;
    constexpr int64_t kPerNode = 1'000'000;
    return Offer{.reservation = Assemble(*host.model, host.room, request, *choice).reservation,
                 .cost = (nodes + (far ? 1 : 0)) * kPerNode + choice->score.placeable_lost,
                 .compromise = nodes > 1 || far};
  }
};

}  // namespace

std::unique_ptr<Rule> MakeBerth() { return std::make_unique<Berth>(); }

}  // namespace berth::fleet
