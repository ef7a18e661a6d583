// A running VMM: its process, its control connection and its log, as one thing.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "server/guest/process.h"
#include "server/guest/vmm_connection.h"
#include "server/guest/vmm_log.h"

namespace berth::server {

class Vmm {
 public:
  struct Parts {
    ProcessChange process;
    UniqueFd pidfd;
    UniqueFd socket;
    std::unique_ptr<VmmLog> log;
  };
  struct Callbacks {
    // Both on the loop's thread.
    std::function<void(const control::Event&)> on_event;
    // Once: the process has ended, or its connection has. `why` is UNAVAILABLE, VMM_GONE or INTERNAL,
    // VMM_PROTOCOL_ERROR.
    std::function<void(const Error& why)> on_gone;
  };

  // The loop outlives the Vmm.
  static Result<std::unique_ptr<Vmm>> Attach(EventLoop& loop, Parts parts, Callbacks callbacks);
  // Does not end the process. Not from within a callback.
  ~Vmm();

  // A request without an answer worth reading, or with one. As VmmConnection::Call.
  Result<control::Reply> Call(control::Request request, const std::vector<int>& fds = {},
                              std::chrono::milliseconds timeout = std::chrono::seconds(10));
  // The console as a stream; what it printed lately comes first.
  Result<UniqueFd> AttachConsole();
  // The port of the guest's agent as a stream, which others lose then. FAILED_PRECONDITION: NO_AGENT_PORT,
  // AGENT_NOT_RUNNING.
  Result<UniqueFd> AttachAgent();

  const ProcessChange& process() const { return process_; }

 private:
  Vmm(EventLoop& loop, Parts& parts, Callbacks callbacks)
      : loop_(loop),
        process_(parts.process),
        pidfd_(std::move(parts.pidfd)),
        callbacks_(std::move(callbacks)) {}
  Result<UniqueFd> AttachStream(control::Request request);
  void OnProcessEnded();
  void OnGone(const Error& why);

  EventLoop& loop_;
  const ProcessChange process_;
  const UniqueFd pidfd_;
  const Callbacks callbacks_;
  // Loop thread.
  bool gone_ = false;
  EventLoop::TimerId last_words_ = 0;

  std::unique_ptr<VmmLog> log_;
  std::unique_ptr<VmmConnection> connection_;
};

}  // namespace berth::server
