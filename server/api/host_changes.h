// Whether the host's devices have changed, as the kernel tells it.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/event_loop.h"
#include "server/guest/host_effects.h"

namespace berth::server {

class HostChanges {
 public:
  // `loop` outlives it. Where the kernel cannot be heard, that is logged, and count() says "perhaps" with
  // every call: it is another each time.
  HostChanges(EventLoop* loop, HostEffects& host);
  ~HostChanges();

  // Another number after something has changed. Any thread.
  uint64_t count();
  // Something has changed of which the kernel tells nothing. Any thread.
  void Note() { ++count_; }

 private:
  void Hear();

  EventLoop* const loop_;
  UniqueFd socket_;
  std::atomic<uint64_t> count_{0};
};

}  // namespace berth::server
