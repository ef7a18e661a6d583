// What the daemon's verbs work with. Everything here is borrowed from main and outlives them.
#pragma once

#include <chrono>
#include <string>

#include "base/event_loop.h"
#include "base/mutex.h"
#include "host/roots.h"
#include "server/guest/event_log.h"
#include "server/guest/executor.h"
#include "server/guest/guest_book.h"
#include "server/guest/host_effects.h"
#include "server/guest/launcher.h"
#include "server/guest/measurements.h"
#include "server/operation/operation_runner.h"
#include "server/store/guest_table.h"
#include "server/store/quarantine_table.h"

namespace berth::server {

// How long guests' agents may take.
struct AgentTimes {
  std::chrono::milliseconds synchronize{5'000};  // To answer at all.
  std::chrono::milliseconds freeze{10'000};
  std::chrono::milliseconds thaw{10'000};
  std::chrono::milliseconds thaw_again{30'000};  // Until that is tried again, if it fails.
};

struct Engine {
  EventLoop& loop;
  HostEffects& host;
  GuestTable& table;
  QuarantineTable& quarantine;
  GuestBook& book;
  EventLog& events;
  StepExecutor& executor;
  OperationRunner& operations;
  Measurements& measurements;

  LaunchSettings settings;
  std::string vmm_program;
  Confinement confinement;
  std::string proc = host::HostRoots{}.proc;
  // How long a VMM that is found running may take to say what it is.
  std::chrono::milliseconds describe_timeout{10'000};
  AgentTimes agent_times{};
  // Held while guests are moved among CPUs (shared_cpus.h).
  Mutex refitting = {};
};

}  // namespace berth::server
