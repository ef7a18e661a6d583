// A host whose guests are under a load, for the autopilot's tests. What the autopilot decides is done as
// Linux would: balloons inflate at a rate and give way when their guest runs out, freed pages are reported,
// what does not fit is swapped, and what cannot be swapped is killed. Memory is in MiB here.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "server/overcommit/autopilot.h"

namespace berth::server {

struct SimulatedGuest {
  std::string name;
  double memory_mib = 0, reserved_mib = 0;
  std::function<double(double seconds)> need_mib;
  double idle_part = 0;  // Of what it needs, never touched again.
  bool balloon = true, pinned = false, mergeable = false;
  LastResort last_resort = LastResort::kNone;

  // As it goes.
  double target_mib = 0, actual_mib = 0, cache_mib = 0, swapped_mib = 0, refaulted_mib = 0;
  bool frozen = false, evicted = false;
  double used_mib = 0;
};

class SimulatedHost {
 public:
  SimulatedHost(double total_mib, double swap_mib, std::vector<SimulatedGuest> guests);

  MemoryFacts Facts() const;
  void Do(const MemoryAction& action);
  // Lets so much time pass, in steps of a quarter second.
  void Advance(double seconds);

  // Facts, the autopilot's decisions, and doing them, until `end`. What was decided is kept in `log`.
  void Run(MemoryAutopilot& autopilot, double end_seconds, double interval_seconds = 5);

  struct Done {
    double seconds;
    MemoryAction action;
    MemoryFacts facts;  // On which it was decided.
  };
  std::vector<Done> log;
  std::vector<SimulatedGuest> guests;
  int out_of_memory = 0;  // How often something would have been killed.
  double stalled_seconds() const { return stalled_us_ / 1e6; }
  double seconds = 1;

 private:
  double Resident(const SimulatedGuest& guest) const;
  double Available() const;
  void Tick(double elapsed);

  const double total_mib_, swap_mib_;
  double stalled_us_ = 0, pressure_percent_ = 0;
  host::KsmState ksm_;
  bool merging_ = false;
};

}  // namespace berth::server
