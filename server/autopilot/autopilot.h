// The autopilot's thread: looks, decides (server/overcommit/autopilot.h), acts; again after a while, or at
// once when the kernel reports pressure.
#pragma once

#include <memory>

#include "host/control/control.h"
#include "server/guest/engine.h"
#include "server/guest/verbs.h"

namespace berth::server {

class Autopilot {
 public:
  virtual ~Autopilot() = default;
};

// Runs until it is destroyed. What it did stays done, and the next one goes on from there. Borrows all of it.
Result<std::unique_ptr<Autopilot>> StartAutopilot(Engine& engine, GuestVerbs& verbs,
                                                  const host::HostControl& control);

}  // namespace berth::server
