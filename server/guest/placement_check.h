// Whether running guests are where they were put.
#pragma once

#include <chrono>
#include <thread>

#include "server/guest/engine.h"

namespace berth::server {

// Looks at a running guest's cgroup, threads and memory. What is found to be otherwise is in its placement,
// counted, and, when it is new, an event. Any thread; the guest's mutex is not held.
void CheckPlacement(Engine& engine, GuestEntry& guest);

// Does so for all guests again and again, on a thread of its own.
class PlacementWatch {
 public:
  PlacementWatch(Engine& engine, std::chrono::milliseconds interval);

 private:
  void Run(const std::stop_token& stop);

  Engine& engine_;
  const std::chrono::milliseconds interval_;
  std::jthread thread_;
};

}  // namespace berth::server
