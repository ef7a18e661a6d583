// Runs one virtio device without a transport: RAM, a loop that the test turns, and the driver's side of every
// queue.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "hw/virtio/device.h"
#include "tests/fakes/fake_driver.h"

namespace berth::hw {

class FakeTransport final : public VirtioTransport {
 public:
  void ConfigChanged() override { ++config_changes; }
  void NeedsReset(std::string_view why) override { needs_reset.emplace_back(why); }

  int config_changes = 0;
  std::vector<std::string> needs_reset;  // The reasons.
};

class FakeVirtio {
 public:
  // The device is borrowed, and reset in the end: it may outlive this, its loop and its RAM.
  explicit FakeVirtio(VirtioDevice* device, std::vector<Range> ram_ranges = {{0x10000, 16 * kMiB}});
  ~FakeVirtio() { Reset(); }

  // Sets up every queue at its largest size, or at most `queue_size`, and activates the device. Features of
  // the ring and of the device as given; VERSION_1 is added.
  Status Activate(uint64_t features = 0, uint16_t queue_size = 64);
  // Resets the device and forgets the queues.
  void Reset();

  FakeRam& ram() { return ram_; }
  EventLoop& loop() { return *loop_; }
  FakeTransport& transport() { return transport_; }
  FakeDriver& driver(unsigned queue) { return *queues_[queue].driver; }
  VirtQueue& queue(unsigned queue) { return *queues_[queue].queue; }

  // Rings the doorbell if the device wants it, and turns the loop.
  void Kick(unsigned queue);
  // Rings it in any case.
  void ForceKick(unsigned queue);
  // Interrupts of this queue since the last call.
  uint64_t TakeInterrupts(unsigned queue) { return DrainEventFd(queues_[queue].call.get()); }

  // Turns the loop once: what is ready now is served.
  void Turn();
  // Turns the loop until `done`; false if that takes more than ten seconds.
  [[nodiscard]] bool TurnUntil(const std::function<bool()>& done);

 private:
  struct Queue {
    UniqueFd kick, call;
    std::unique_ptr<FakeDriver> driver;
    std::unique_ptr<VirtQueue> queue;
  };

  VirtioDevice& device_;
  FakeRam ram_;
  std::unique_ptr<EventLoop> loop_;
  FakeTransport transport_;
  std::vector<Queue> queues_;
  std::vector<VirtQueue*> pointers_;
};

}  // namespace berth::hw
