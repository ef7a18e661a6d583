// How long a placement decision takes, and how that grows with the host.
#include <time.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "server/placement/choose.h"
#include "tests/fakes/made_host.h"
#include "tests/fakes/random.h"

namespace berth::server {
namespace {

constexpr int kDecisions = 400;

struct Size {
  int nodes, cpus, devices;
};

host::HostSnapshot HostOf(const Size& size) {
  host::MadeHost made{.nodes = size.nodes,
                      .cores_per_node = size.cpus / size.nodes / 2,
                      .bytes_per_node = static_cast<uint64_t>(size.cpus / size.nodes) * 4 * kGiB,
                      .devices = std::vector<int>(size.nodes, size.devices / size.nodes)};
  return Make(made);
}

enum class Kind { kShared, kDedicated, kDevices, kWide, kRefused };
constexpr std::pair<Kind, const char*> kKinds[] = {{Kind::kShared, "shared"},
                                                   {Kind::kDedicated, "dedicated"},
                                                   {Kind::kDevices, "4 devices of any"},
                                                   {Kind::kWide, "half of the host"},
                                                   {Kind::kRefused, "refused"}};

PlacementRequest RequestOf(Random& random, const host::HostSnapshot& host, const Size& size, Kind kind) {
  PlacementRequest request{.guest = "guests/new", .vcpu_count = random.Between(1, 16)};
  request.threads_per_core = 0;
  if (kind != Kind::kShared) request.cpu_policy = CpuPolicy::kDedicated;
  if (kind == Kind::kWide) request.vcpu_count = size.cpus / 2;
  if (kind == Kind::kRefused) request.vcpu_count = size.cpus;
  request.nodes.push_back({.size_bytes = static_cast<uint64_t>(request.vcpu_count) * 2 * kGiB});
  for (int i = 0; i < request.vcpu_count; ++i) request.nodes[0].vcpus.push_back(i);
  if (kind != Kind::kDevices) return request;
  DeviceRequest pool{.affinity = DeviceAffinity::kRequired};
  for (const host::PciFunction& function : host.functions) {
    pool.any_of.push_back(static_cast<int>(request.candidates.size()));
    request.candidates.push_back({.key = function.address.ToString(), .host_node = function.numa_node});
  }
  request.devices.assign(4, pool);
  return request;
}

// A third of the host is taken by guests of some CPUs each.
Ledger BusyLedger(Random& random, const host::HostSnapshot& host, const Size& size) {
  Ledger ledger;
  const HostModel model = MakeHostModel(host, {});
  HostRoom room(model);
  for (int taken = 0; taken < size.cpus / 3;) {
    PlacementRequest request = RequestOf(random, host, size, Kind::kDedicated);
    request.guest = fmt::format("guests/{}", ledger.size());
    const auto choice = Choose(model, room, request);
    if (!choice) break;
    ledger.push_back(Assemble(model, room, request, *choice).reservation);
    room.Take(model, ledger.back());
    taken += request.vcpu_count;
  }
  return ledger;
}

// Of this thread alone: others on the machine do not count.
double CpuMicroseconds() {
  timespec now{};
  CHECK(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

double MedianMicroseconds(const Size& size, Kind kind) {
  Random random(1);
  const host::HostSnapshot host = HostOf(size);
  const Ledger ledger = BusyLedger(random, host, size);
  std::vector<double> times;
  for (int i = 0; i < kDecisions; ++i) {
    const PlacementRequest request = RequestOf(random, host, size, kind);
    const double begun = CpuMicroseconds();
    const auto placement = Place(host, ledger, request);
    const double ended = CpuMicroseconds();
    CHECK(placement.has_value() == (kind != Kind::kRefused));
    times.push_back(ended - begun);
  }
  std::nth_element(times.begin(), times.begin() + kDecisions / 2, times.end());
  return times[kDecisions / 2];
}

void Run() {
  constexpr Size kSizes[] = {{8, 64, 64}, {8, 128, 128}, {8, 256, 256}, {8, 512, 512}, {8, 1024, 1024}};
  constexpr double kTargetUs = 1000;
  fmt::print(
      "median of {} decisions, µs of CPU time: snapshot, ledger and request in, CPUs, memory and devices "
      "out\n\n{:24}",
      kDecisions, "8 nodes, CPUs, devices:");
  for (const Size& size : kSizes) fmt::print("{:>10}", size.cpus);
  fmt::print("{:>24}\n", "growth 512/64 : n log n");
  double worst = 0;
  const char* worst_case = "";
  for (const auto& [kind, name] : kKinds) {
    fmt::print("{:24}", name);
    std::vector<double> medians;
    for (const Size& size : kSizes) {
      medians.push_back(MedianMicroseconds(size, kind));
      fmt::print("{:10.1f}", medians.back());
    }
    const double growth = (medians[3] / medians[0]) / (512 * std::log(512.0) / (64 * std::log(64.0)));
    fmt::print("{:24.2f}\n", growth);
    if (const double ratio = std::max(medians[3] / kTargetUs, growth); ratio > worst) {
      worst = ratio;
      worst_case = name;
    }
  }
  fmt::print("\nworst ratio: {:.2f} ({}: to 1 ms on 512 CPUs, or of growth to n log n)\n", worst, worst_case);
}

}  // namespace
}  // namespace berth::server

int main() { berth::server::Run(); }
