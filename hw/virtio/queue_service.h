// Serves one queue on the device's loop: hands over what the driver makes available, a bounded number of
// chains at a time, and keeps kicks off while there is work.
#pragma once

#include <functional>
#include <memory>

#include "hw/virtio/device.h"

namespace berth::hw {

class QueueService {
 public:
  // Gets each chain, and pushes it to `queue` now or later. Runs on the loop.
  using Serve = std::function<void(const DescriptorChain& chain)>;

  // After so many chains the loop's other descriptors have their turn.
  static constexpr unsigned kChainsATurn = 64;

  // Watches the doorbell of queue `index`, or does nothing if the driver did not enable it. What `activation`
  // points to outlives the service.
  static Result<std::unique_ptr<QueueService>> Start(const VirtioActivation& activation, unsigned index,
                                                     Serve serve, unsigned chains_a_turn = kChainsATurn);
  ~QueueService();

  // While it is held, chains stay in the ring, from the next one on. Loop thread.
  void Hold(bool hold);

 private:
  QueueService(const VirtioActivation& activation, VirtQueue* queue, Serve serve, unsigned chains_a_turn)
      : loop_(*activation.loop),
        transport_(*activation.transport),
        queue_(*queue),
        serve_(std::move(serve)),
        chains_a_turn_(chains_a_turn) {}
  void Kicked();

  EventLoop& loop_;
  VirtioTransport& transport_;
  VirtQueue& queue_;
  const Serve serve_;
  const unsigned chains_a_turn_;
  bool held_ = false;
};

}  // namespace berth::hw
