// The daemon's end of a VMM's control socket (proto/berth/vmm/v1/control.proto).
//
// The VMM is not trusted: a guest may have taken it over. What it sends is bounded in size by the socket and
// in number by time; what it says is checked for form here and for sense by whoever uses it; descriptors it
// sends are closed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/event_loop.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "berth/vmm/v1/control.pb.h"

namespace berth::server {

// INTERNAL, VMM_PROTOCOL_ERROR: of a VMM that says what it cannot.
Error VmmProtocolError(std::string_view message);

namespace control = berth::vmm::v1;

class VmmConnection {
 public:
  struct Callbacks {
    // On the loop's thread. The text is printable.
    std::function<void(const control::Event&)> on_event;
    // On the loop's thread, once: the VMM has closed the connection, or broken the protocol.
    std::function<void(const Error&)> on_closed;
  };

  // Watches `socket` (SEQPACKET) on `loop`, which outlives the connection.
  static Result<std::unique_ptr<VmmConnection>> Create(EventLoop& loop, UniqueFd socket, Callbacks callbacks);
  // No callback is called after it. Not from within a callback.
  ~VmmConnection();

  // Sends a request with descriptors and waits for its reply. Any thread but the loop's; several at once.
  // The VMM's own failure, with its code and reason; UNAVAILABLE, VMM_GONE; DEADLINE_EXCEEDED, VMM_TIMED_OUT.
  Result<control::Reply> Call(control::Request request, const std::vector<int>& fds,
                              std::chrono::milliseconds timeout);

 private:
  VmmConnection(EventLoop& loop, UniqueFd socket, Callbacks callbacks)
      : loop_(loop), socket_(std::move(socket)), callbacks_(std::move(callbacks)) {}

  Status Watch();
  void OnReadable();
  Status Receive();
  Status Deliver(const control::Reply& reply);
  void Close(const Error& reason);

  EventLoop& loop_;
  const UniqueFd socket_;
  const Callbacks callbacks_;

  // Loop thread.
  bool open_ = true;
  uint32_t budget_ = 0;
  EventLoop::Clock::time_point refilled_{};
  EventLoop::TimerId pause_ = 0;

  Mutex mutex_;
  bool closed_ GUARDED_BY(mutex_) = false;
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, std::promise<Result<control::Reply>>> waiting_ GUARDED_BY(mutex_);
};

}  // namespace berth::server
