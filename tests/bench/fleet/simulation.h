// One fleet, one rule, one sequence of arrivals.
#pragma once

#include <vector>

#include "tests/bench/fleet/rule.h"

namespace berth::fleet {

struct Outcome {
  int placed_before_rejection = 0;  // All of them if nothing is ever rejected.
  int rejected = 0;
  int placed = 0;
  int cross_node = 0;   // With CPUs or memory on several nodes.
  int far_devices = 0;  // Guests with a device on none of their nodes.
  double density = 0;   // CPU time promised, of all, on average over the last half.
  // Of the CPUs that are free, those of no use for a guest of eight cores and a node's part of memory; on
  // average over the first half, while there is room.
  double fragmentation = 0;
  double decision_us = 0;  // Median, of the place on one host.
};

// `first_fit`: hosts by number, whatever the rule prefers.
Outcome Simulate(const Rule& rule, const std::vector<Arrival>& arrivals, std::vector<Host> hosts,
                 bool first_fit);

}  // namespace berth::fleet
