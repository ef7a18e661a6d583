#include "tests/bench/fleet/simulation.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <numeric>
#include <queue>

#include "base/error.h"
#include "server/placement/node_room.h"
#include "server/placement/subsets.h"

namespace berth::fleet {
namespace {

using server::NodeMask;
using server::Reservation;

constexpr size_t kFragmentationSamples = 200;

struct Departure {
  double time;
  int host;
  Reservation reservation;
  bool operator>(const Departure& other) const { return time > other.time; }
};

NodeMask NodesOf(const server::HostModel& model, const Reservation& reservation) {
  NodeMask nodes = 0;
  for (int cpu : reservation.dedicated_cpus) nodes |= NodeMask{1} << model.cores[model.core_of_cpu[cpu]].node;
  for (const auto& shared : reservation.shared_cpus)
    nodes |= NodeMask{1} << model.IndexOfNode(shared.host_node);
  for (const auto& memory : reservation.memory) nodes |= NodeMask{1} << model.IndexOfNode(memory.host_node);
  return nodes;
}

class Fleet {
 public:
  Fleet(const Rule& rule, std::vector<Host> hosts, bool first_fit)
      : rule_(rule), hosts_(std::move(hosts)), first_fit_(first_fit), preference_(hosts_.size()) {
    for (const Host& host : hosts_) total_millicpus_ += host.millicpus;
    free_millicpus_ = total_millicpus_;
  }

  Outcome Run(const std::vector<Arrival>& arrivals) {
    double since = 0, weighted = 0, span = 0;
    for (size_t i = 0; i < arrivals.size(); ++i) {
      const Arrival& guest = arrivals[i];
      while (!departures_.empty() && departures_.top().time <= guest.time) Leave();
      if (i >= arrivals.size() / 2) {
        const double used = 1 - static_cast<double>(free_millicpus_) / static_cast<double>(total_millicpus_);
        if (since > 0) weighted += used * (guest.time - since);
        if (since > 0) span += guest.time - since;
        since = guest.time;
      }
      // While there is room: a fleet that is full has no useful CPUs left under any rule.
      if (i < arrivals.size() / 2 && i % std::max<size_t>(arrivals.size() / kFragmentationSamples, 1) == 0)
        fragmentation_.push_back(Fragmentation());
      if (!Arrive(guest, "guests/" + std::to_string(i))) ++outcome_.rejected;
      if (outcome_.rejected == 0) outcome_.placed_before_rejection = outcome_.placed;
    }
    outcome_.density = span > 0 ? weighted / span : 0;
    outcome_.fragmentation = std::accumulate(fragmentation_.begin(), fragmentation_.end(), 0.0) /
                             static_cast<double>(std::max<size_t>(fragmentation_.size(), 1));
    std::nth_element(decisions_.begin(), decisions_.begin() + static_cast<long>(decisions_.size() / 2),
                     decisions_.end());
    outcome_.decision_us = decisions_.empty() ? 0 : decisions_[decisions_.size() / 2];
    return outcome_;
  }

 private:
  void Leave() {
    const Departure& leaving = departures_.top();
    Move(leaving.host, leaving.reservation, -1);
    departures_.pop();
  }

  void Move(int host, const Reservation& reservation, int sign) {
    free_millicpus_ -= hosts_[host].millicpus;
    hosts_[host].Take(reservation, sign);
    free_millicpus_ += hosts_[host].millicpus;
    CHECK(hosts_[host].millicpus >= 0 && hosts_[host].threads >= 0 && hosts_[host].devices >= 0);
  }

  // Hosts that may hold the guest, the preferred first.
  std::vector<int> Candidates(const Arrival& guest) {
    std::vector<int> candidates;
    for (size_t i = 0; i < hosts_.size(); ++i) {
      if (!hosts_[i].MayHold(guest)) continue;
      preference_[i] = first_fit_ ? 0 : rule_.Preference(hosts_[i], guest);
      candidates.push_back(static_cast<int>(i));
    }
    return candidates;
  }

  bool Arrive(const Arrival& guest, const std::string& name) {
    std::vector<int> candidates = Candidates(guest);
    const auto worse = [&](int a, int b) {
      return preference_[a] != preference_[b] ? preference_[a] < preference_[b] : a > b;
    };
    std::make_heap(candidates.begin(), candidates.end(), worse);
    std::optional<Rule::Offer> best;
    int best_host = -1, offers = 0;
    const int wanted = first_fit_ ? 1 : rule_.compares();
    while (!candidates.empty() &&
           (offers < wanted || (wanted > 1 && best->compromise && offers < Rule::kMaxOffers))) {
      std::pop_heap(candidates.begin(), candidates.end(), worse);
      const int host = candidates.back();
      candidates.pop_back();
      const auto begun = std::chrono::steady_clock::now();
      auto offer = rule_.Place(hosts_[host], guest, name);
      decisions_.push_back(
          std::chrono::duration<float, std::micro>(std::chrono::steady_clock::now() - begun).count());
      if (!offer) continue;
      ++offers;
      if (best && best->cost <= offer->cost) continue;
      best = std::move(offer);
      best_host = host;
    }
    if (!best) return false;
    Count(hosts_[best_host], best->reservation);
    Move(best_host, best->reservation, 1);
    departures_.push(
        {.time = guest.time + guest.lifetime, .host = best_host, .reservation = best->reservation});
    return true;
  }

  void Count(const Host& host, const Reservation& reservation) {
    const NodeMask nodes = NodesOf(*host.model, reservation);
    ++outcome_.placed;
    if (std::popcount(nodes) > 1) ++outcome_.cross_node;
    for (const auto& device : reservation.devices) {
      if (nodes >> host.model->IndexOfNode(*device.host_node) & 1) continue;
      ++outcome_.far_devices;
      break;
    }
  }

  double Fragmentation() const {
    constexpr int kCores = 8;
    double free = 0, useful = 0;
    for (const Host& host : hosts_) {
      for (size_t node = 0; node < host.model->nodes.size(); ++node) {
        const auto room =
            server::Summarize(*host.model, host.room, static_cast<int>(node), {}, server::kOrdinaryPageBytes);
        const int dedicable = std::max(room.dedicable(), 0), threads = kCores * host.model->threads_per_core;
        const uint64_t part =
            host.model->nodes[node].pages[0].total_bytes * kCores / host.model->nodes[node].cores.size();
        const auto guests = std::min({static_cast<uint64_t>(room.whole_cores / kCores),
                                      static_cast<uint64_t>(dedicable / threads), room.bytes / part});
        free += dedicable;
        useful += static_cast<double>(guests) * threads;
      }
    }
    return free > 0 ? 1 - useful / free : 0;
  }

  const Rule& rule_;
  std::vector<Host> hosts_;
  const bool first_fit_;
  std::vector<double> preference_;
  std::priority_queue<Departure, std::vector<Departure>, std::greater<>> departures_;
  std::vector<float> decisions_;
  std::vector<double> fragmentation_;
  int64_t total_millicpus_ = 0, free_millicpus_ = 0;
  Outcome outcome_;
};

}  // namespace

Outcome Simulate(const Rule& rule, const std::vector<Arrival>& arrivals, std::vector<Host> hosts,
                 bool first_fit) {
  return Fleet(rule, std::move(hosts), first_fit).Run(arrivals);
}

}  // namespace berth::fleet
