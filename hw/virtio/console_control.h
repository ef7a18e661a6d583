// The control queues of a console device with several ports: VIRTIO 1.2 section 5.3.6.2. The driver is told
// which ports there are, and tells which of them somebody in the guest has open.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string_view>

#include "hw/virtio/device.h"
#include "hw/virtio/queue_filler.h"
#include "hw/virtio/queue_service.h"

namespace berth::hw {

// Loop thread, but for what says otherwise.
class ConsoleControl {
 public:
  static constexpr unsigned kPorts = 2;
  struct Port {
    bool offered = false;
    bool console = false;
    std::string_view name;  // Empty for none. It outlives this.
  };

  explicit ConsoleControl(const std::array<Port, kPorts>& ports) : ports_(ports) {}

  Status Start(const VirtioActivation& activation, unsigned receive, unsigned transmit);
  // No port is open then. Also without Start.
  void Stop();

  // Whether the guest has it open. Any thread.
  bool open(unsigned port) const { return open_[port]; }

 private:
  void Take(const DescriptorChain& chain);
  bool AnyDue() const;
  uint32_t Write(const DescriptorChain& chain);

  const std::array<Port, kPorts> ports_;
  const GuestMemory* memory_ = nullptr;
  VirtQueue* transmit_queue_ = nullptr;
  std::unique_ptr<QueueService> transmit_;
  std::unique_ptr<QueueFiller> receive_;
  // Events that the driver is to be told of, a bit each: however often it asks, each is due once.
  std::array<uint32_t, kPorts> due_{};
  std::array<std::atomic<bool>, kPorts> open_{};
};

}  // namespace berth::hw
