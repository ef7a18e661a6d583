// Serves a virtio device to one front-end after the other at a listening socket.
#pragma once

#include <functional>
#include <memory>

#include "base/error.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "hw/vhost_user/backend.h"

namespace berth::hw {

// Threads: the loop's, or before it runs.
class VhostUserServer {
 public:
  // `listener` is non-blocking; loop and device outlive this. `left` is called each time that a front-end has
  // gone. Others wait for their turn meanwhile.
  static Result<std::unique_ptr<VhostUserServer>> Create(EventLoop* loop, UniqueFd listener,
                                                         VirtioDevice* device, std::function<void()> left);
  ~VhostUserServer();

 private:
  VhostUserServer(EventLoop* loop, UniqueFd listener, VirtioDevice* device, std::function<void()> left)
      : loop_(*loop), listener_(std::move(listener)), device_(*device), left_(std::move(left)) {}
  void Accept();
  void Ended(const Status& why);

  EventLoop& loop_;
  const UniqueFd listener_;
  VirtioDevice& device_;
  const std::function<void()> left_;
  std::unique_ptr<VhostUserBackend> backend_;
};

}  // namespace berth::hw
