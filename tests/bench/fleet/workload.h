// Guests that arrive and leave, drawn from a seed: sizes and lifetimes are heavy-tailed, as published traces
// of public clouds are (Cortez et al., "Resource Central", SOSP 2017; Hadary et al., "Protean", OSDI 2020:
// most guests are small and short, most of what is taken is large and long).
#pragma once

#include <cstdint>
#include <vector>

#include "host/snapshot.h"

namespace berth::fleet {

struct Arrival {
  double time = 0;  // Hours.
  double lifetime = 0;
  int vcpus = 1;
  uint64_t bytes = 0;
  bool dedicated = false;
  int devices = 0;  // Any of the host's, beside it. Their guests are dedicated.
};

struct Workload {
  uint64_t seed = 1;
  int arrivals = 0;
  int host_cpus = 0;  // Of the whole fleet.
};

// The rate of arrivals rises slowly, from 0.6 of what fills the fleet to twice that.
std::vector<Arrival> MakeArrivals(const Workload& workload);

// The kinds of hosts of a fleet; host `i` is of kind `i` modulo their number.
std::vector<host::HostSnapshot> HostKinds();

}  // namespace berth::fleet
