// A port of the console device: two queues, and bytes both ways. VIRTIO 1.2 section 5.3.6.1, 5.3.6.2.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <span>

#include "base/mutex.h"
#include "hw/virtio/device.h"
#include "hw/virtio/queue_filler.h"
#include "hw/virtio/queue_service.h"

namespace berth::hw {

class ConsolePort {
 public:
  // Sent to the guest and not yet read by it.
  static constexpr size_t kMaxInputBytes = 4096;
  // What a chain writes beyond this is cut, so that one cannot keep the loop busy.
  static constexpr uint64_t kMaxChainBytes = 64 * 1024;

  // Gets what the guest writes. It must not block. Empty: that is dropped.
  using Output = std::function<void(std::span<const uint8_t>)>;

  static Result<std::unique_ptr<ConsolePort>> Create(Output output);

  // Serves these queues of the activated device, as far as the driver enabled them. Loop thread, as Stop.
  Status Start(const VirtioActivation& activation, unsigned receive, unsigned transmit);
  // Drops what the guest has not read. Also without Start.
  void Stop();

  // While it is held, the guest keeps what it writes: for an Output that has no room left. A chain that it is
  // getting comes whole. Also while nothing is served. Loop thread.
  void HoldOutput(bool hold);

  // Sends bytes to the guest and returns how many of them were taken; the others find no room until the guest
  // reads. Any thread.
  size_t Input(std::span<const uint8_t> bytes);
  void Write(std::span<const uint8_t> bytes) const {
    if (output_) output_(bytes);
  }

  const Counter& written_bytes() const { return written_; }
  const Counter& read_bytes() const { return read_; }

 private:
  ConsolePort(Output output, UniqueFd fresh) : output_(std::move(output)), fresh_(std::move(fresh)) {}
  void Take(const DescriptorChain& chain);
  uint32_t Fill(const DescriptorChain& chain);
  bool HasInput();

  const Output output_;
  const UniqueFd fresh_;  // Signalled by Input.
  // Loop thread.
  bool held_ = false;
  const GuestMemory* memory_ = nullptr;
  EventLoop* loop_ = nullptr;
  VirtQueue* transmit_queue_ = nullptr;
  std::unique_ptr<QueueService> transmit_;
  std::unique_ptr<QueueFiller> receive_;
  Counter written_, read_;

  Mutex mutex_;
  std::deque<uint8_t> input_ GUARDED_BY(mutex_);
};

}  // namespace berth::hw
