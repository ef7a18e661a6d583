// Does what the autopilot decides, and tells those who watch of each action and its reason.
#pragma once

#include "host/control/control.h"
#include "server/guest/engine.h"
#include "server/guest/verbs.h"
#include "server/overcommit/memory_facts.h"

namespace berth::server {

// One thread. Borrows all of it.
class Actor {
 public:
  Actor(Engine& engine, GuestVerbs& verbs, host::HostControl control)
      : engine_(engine), verbs_(verbs), control_(std::move(control)) {}

  // What fails is logged, and seen in what the autopilot sees next.
  void Do(const MemoryAction& action);
  // Whether the kernel merges pages because we told it to; kept over a restart of the daemon.
  bool merging_is_ours() const;
  // Holds all guests' memory to this. Where there are no guests there is nothing to do.
  void LimitGuests(uint64_t bytes);

 private:
  Status Carry(const MemoryAction& action);
  Status SetBalloon(const std::string& guest, uint64_t bytes);
  Status Reclaim(const std::string& guest, uint64_t bytes);
  Status Merge(const host::KsmSettings& settings);
  Status SetFrozen(const std::string& guest, bool frozen);
  Status Evict(const std::string& guest);
  Status WriteKsm(const host::KsmSettings& settings);
  std::string KsmRecord() const { return engine_.settings.runtime_dir + "/ksm"; }

  Engine& engine_;
  GuestVerbs& verbs_;
  const host::HostControl control_;
};

}  // namespace berth::server
