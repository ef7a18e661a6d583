// Looks at the host and its running guests, as often as the autopilot wants: files of the kernel's, and what
// monitors answer.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "host/control/control.h"
#include "host/memory_use.h"
#include "server/guest/engine.h"
#include "server/overcommit/cpu_peak.h"
#include "server/overcommit/memory_facts.h"

namespace berth::server {

// One thread. Borrows the engine.
class HostLook {
 public:
  using Clock = std::chrono::steady_clock;

  HostLook(Engine& engine, host::HostRoots roots) : engine_(engine), roots_(std::move(roots)) {}

  // Takes as long as monitors take to answer, and one that does not answer is not asked again for a while.
  // Besides it shows every guest's use in its resource, and gives admission what was measured.
  MemoryFacts Look(Clock::time_point now, bool merging_is_ours);

 private:
  struct Known {
    uint64_t cpu_us = 0, run_delay_ns = 0;
    Clock::time_point looked, asked_again;
    CpuHistory cpu;
  };
  bool LookAt(const GuestPtr& guest, Clock::time_point now, MemoryFacts* facts, Measurements::Values* values);
  std::optional<BalloonFacts> AskBalloon(const GuestPtr& guest, Clock::time_point now, Known* known);
  void LookAtCpu(const GuestPtr& guest, const v1::Guest& shown, Clock::time_point now, Known* known,
                 v1::GuestUsage* usage);
  void LookAtHost(MemoryFacts* facts) const;

  Engine& engine_;
  const host::HostRoots roots_;
  std::map<std::string, Known> known_;
  CpuHistory total_cpu_;
  int cpu_now_ = 0;  // Of all guests, in this look.
};

// "berth/web" of "guests/web": below the cgroups' mount.
std::string CgroupOf(const host::HostRoots& roots, const std::string& guest);
// There while the autopilot has the guest stand still; goes with its runtime directory.
std::string FrozenMark(const Engine& engine, const v1::Guest& guest);

}  // namespace berth::server
