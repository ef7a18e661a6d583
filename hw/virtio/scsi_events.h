// The event queue: tells the driver of units that have changed. VIRTIO 1.2 section 5.6.6.3.
#pragma once

#include <compare>
#include <memory>
#include <set>

#include "hw/virtio/device.h"
#include "hw/virtio/scsi_sense.h"

namespace berth::hw {

class ScsiEvents {
 public:
  // Watches the doorbell of the event queue, if the driver enabled it. All of it outlives this.
  static Result<std::unique_ptr<ScsiEvents>> Start(const VirtioActivation& activation, unsigned queue);
  ~ScsiEvents();

  // The unit's parameters have changed as `what` says, now or once the driver has a buffer for it. The same
  // event is not told twice before, so none is ever missed.
  void ParametersChanged(uint32_t lun, const ScsiSense& what);

 private:
  ScsiEvents(const VirtioActivation& activation, VirtQueue* queue)
      : memory_(*activation.memory),
        loop_(*activation.loop),
        transport_(*activation.transport),
        queue_(*queue) {}
  void Tell();
  void Send();

  struct Event {
    uint32_t lun, reason;
    friend auto operator<=>(const Event&, const Event&) = default;
  };

  const GuestMemory& memory_;
  EventLoop& loop_;
  VirtioTransport& transport_;
  VirtQueue& queue_;
  DescriptorChain chain_;
  std::set<Event> waiting_;
};

}  // namespace berth::hw
