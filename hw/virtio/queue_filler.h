// The other direction of QueueService: fills the buffers that the driver gives with what the device has to
// say, a bounded number of chains at a time.
#pragma once

#include <functional>
#include <memory>

#include "hw/virtio/device.h"

namespace berth::hw {

// Loop thread.
class QueueFiller {
 public:
  // Whether there is anything to say.
  using Pending = std::function<bool()>;
  // Writes some of it to the chain, and returns how many bytes.
  using Fill = std::function<uint32_t(const DescriptorChain& chain)>;

  // Watches the doorbell of queue `index`, or does nothing if the driver did not enable it. What `activation`
  // points to outlives the filler.
  static Result<std::unique_ptr<QueueFiller>> Start(const VirtioActivation& activation, unsigned index,
                                                    Pending pending, Fill fill);
  ~QueueFiller();

  // There may be something new to say. Chains for which there is nothing stay in the ring.
  void Run();

 private:
  QueueFiller(const VirtioActivation& activation, VirtQueue* queue, Pending pending, Fill fill)
      : loop_(*activation.loop),
        transport_(*activation.transport),
        queue_(*queue),
        pending_(std::move(pending)),
        fill_(std::move(fill)) {}

  EventLoop& loop_;
  VirtioTransport& transport_;
  VirtQueue& queue_;
  const Pending pending_;
  const Fill fill_;
  bool broken_ = false;
};

}  // namespace berth::hw
