// The daemon, put together: everything it is made of, in the order it needs one another.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "host/control/control.h"
#include "server/api/server.h"
#include "server/guest/engine.h"
#include "server/overcommit/settings.h"

namespace berth::server {

struct DaemonOptions {
  std::string state_dir;    // "/var/lib/berth": what must outlive the host's boot.
  std::string runtime_dir;  // "/run/berth": what must not.
  std::string vmm_program;
  uint32_t first_user = 0;  // User ids from here on are guests'.
  bool sandbox = true;      // Whether VMMs also confine themselves.
  Confinement confinement;
  ListenOptions listen;
  HostPolicy policy;
  std::vector<Setting> policy_settings;  // What it was read from.
  std::vector<PoolSettings> pools;
  std::vector<std::string>
      trace_patterns;  // Trace events to enable, here and in VMMs: "ROOM/EVENT", as a glob.
  // What the autopilot reads and writes the host by; without a writer there is none.
  host::HostControl control;
  std::string version;
  std::chrono::milliseconds describe_timeout{10'000};  // See Engine.
  AgentTimes agent_times;
  // Between looks whether guests are where they were put.
  std::chrono::milliseconds placement_interval{30'000};
};

class Daemon {
 public:
  virtual ~Daemon() = default;
  // Ends calls and operations; guests run on. Once.
  virtual void Shutdown() = 0;
  virtual int port() const = 0;  // Of TCP; 0 without.
};

// Takes over the guests that run, puts in order what was half done, and serves. FAILED_PRECONDITION,
// STATE_IN_USE, if another daemon has the state directory; CheckAgainstHost's for a policy that does not suit
// the host; the store's errors; StartServer's.
Result<std::unique_ptr<Daemon>> StartDaemon(const DaemonOptions& options, std::unique_ptr<HostEffects> host);

}  // namespace berth::server
