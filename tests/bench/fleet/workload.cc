#include "tests/bench/fleet/workload.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "tests/fakes/made_host.h"
#include "tests/fakes/random.h"

namespace berth::fleet {
namespace {

constexpr double kMeanLifetime = 24;  // Hours; most are much shorter.

struct Size {
  int vcpus;
  int weight;
};
constexpr std::array<Size, 8> kShared{
    {{1, 34}, {2, 30}, {4, 20}, {8, 10}, {12, 2}, {16, 3}, {32, 1}, {48, 0}}};
constexpr std::array<Size, 8> kDedicated{
    {{1, 8}, {2, 22}, {4, 26}, {7, 4}, {8, 22}, {16, 12}, {24, 4}, {48, 2}}};

template <size_t kCount>
int Draw(Random& random, const std::array<Size, kCount>& sizes) {
  int left = 0;
  for (const Size& size : sizes) left += size.weight;
  left = random.Below(left);
  for (const Size& size : sizes) {
    left -= size.weight;
    if (left < 0) return size.vcpus;
  }
  return sizes[0].vcpus;
}

// Pareto, cut off; a shape just above 1 has most of its mean in its tail.
double Lifetime(Random& random) {
  return std::min(random.Pareto(kMeanLifetime / 8, 1.15), 10 * kMeanLifetime);
}

Arrival DrawGuest(Random& random) {
  Arrival guest;
  const int kind = random.Below(100);
  guest.dedicated = kind < 40;
  guest.devices = kind < 5 ? 1 << random.Below(3) : 0;
  guest.vcpus = guest.dedicated ? Draw(random, kDedicated) : Draw(random, kShared);
  // Shared vCPUs count for a quarter of a CPU: by CPU time both kinds want about what hosts have.
  constexpr std::array<uint64_t, 6> kDedicatedMib{1024, 2048, 2048, 4096, 4096, 8192};
  constexpr std::array<uint64_t, 6> kSharedMib{512, 512, 1024, 1024, 1024, 2048};
  const auto& sizes = guest.dedicated ? kDedicatedMib : kSharedMib;
  guest.bytes =
      static_cast<uint64_t>(guest.vcpus) * sizes[random.Below(static_cast<int>(sizes.size()))] * kMiB;
  guest.lifetime = Lifetime(random);
  return guest;
}

// CPU time that a guest is promised: shared vCPUs count for a quarter.
double Weight(const Arrival& guest) { return guest.dedicated ? guest.vcpus : guest.vcpus / 4.0; }

}  // namespace

std::vector<Arrival> MakeArrivals(const Workload& workload) {
  Random random(workload.seed);
  // What guests take on average, from a sample: the rate that fills the fleet follows (Little's law).
  Random sample(~workload.seed);
  constexpr int kSample = 20'000;
  double taken = 0;
  for (int i = 0; i < kSample; ++i) {
    const Arrival guest = DrawGuest(sample);
    taken += Weight(guest) * guest.lifetime;
  }
  const double filling = workload.host_cpus / (taken / kSample);
  std::vector<Arrival> arrivals;
  double time = 0;
  for (int i = 0; i < workload.arrivals; ++i) {
    const double load = 0.6 + 1.4 * i / workload.arrivals;
    time += random.Exponential(1 / (filling * load));
    arrivals.push_back(DrawGuest(random));
    arrivals.back().time = time;
  }
  return arrivals;
}

std::vector<host::HostSnapshot> HostKinds() {
  using host::MadeHost;
  return {
      // Two sockets, accelerators on the second; no accelerators; four nodes; eight small ones with some.
      Make(MadeHost{.nodes = 2, .cores_per_node = 24, .bytes_per_node = 192 * kGiB, .devices = {0, 8}}),
      Make(MadeHost{.nodes = 2, .cores_per_node = 32, .bytes_per_node = 256 * kGiB}),
      Make(MadeHost{.nodes = 4, .cores_per_node = 16, .bytes_per_node = 128 * kGiB, .devices = {4, 0, 4, 0}}),
      Make(MadeHost{.nodes = 2, .cores_per_node = 32, .bytes_per_node = 192 * kGiB}),
      Make(MadeHost{
          .nodes = 8, .cores_per_node = 16, .bytes_per_node = 96 * kGiB, .devices = {2, 0, 2, 0, 2}}),
  };
}

}  // namespace berth::fleet
