// What the daemon's verbs work with. Everything here is borrowed from main and outlives them.
#pragma once

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
  // Held while guests are moved among CPUs (shared_cpus.h).
  Mutex refitting = {};
};

}  // namespace berth::server
