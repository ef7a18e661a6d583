// Between the guest's agent and who talks with it: the bytes of its port both ways, a bounded number of them
// under way. Who does not read holds up the other, and nobody else.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace berth::vmm {

// Thread of the loop, or before that runs.
class AgentChannel {
 public:
  // From the guest and not read by its user: from then on the guest keeps what it has (a chain comes whole,
  // 64 KiB at most).
  static constexpr size_t kMaxFromGuest = 64 * 1024;
  // Read from the user, and not taken by the guest.
  static constexpr size_t kMaxToGuest = 4096;

  // What the device does.
  struct Port {
    std::function<size_t(std::span<const uint8_t>)> input;  // To the guest; how many were taken.
    std::function<bool()> is_open;                          // By somebody in the guest.
    std::function<void(bool)> hold;                         // What the guest writes.
  };

  // The device of the loop; outlives this.
  explicit AgentChannel(EventLoop* loop) : loop_(loop) {}
  ~AgentChannel();

  // Once, before anything else. The device may be gone before this is.
  void Connect(Port port) { port_ = std::move(port); }

  // What the guest writes; dropped while there is no user.
  void Output(std::span<const uint8_t> bytes);

  // This stream socket, which does not block, is the user from now on; an earlier one loses its place.
  // FAILED_PRECONDITION: NO_AGENT_PORT, if nothing is connected; AGENT_NOT_RUNNING.
  Status Attach(UniqueFd stream);

 private:
  void Serve(uint32_t events);
  void ToUser();
  void ToGuest();
  void Watch();
  void Drop();

  EventLoop* const loop_;
  Port port_;
  UniqueFd stream_;
  std::string from_guest_, to_guest_;
  EventLoop::TimerId retry_ = 0;
};

}  // namespace berth::vmm
