// A virtio device, knowing nothing of the transport it sits on. Virtual I/O Device (VIRTIO) 1.2.
//
// virtio-rng (rng.cc) is the smallest; later devices resemble it.
//
// Threads: a device lives on the event loop that its transport was given. Activate, Reset and the queues'
// callbacks run there, so a device has one thread and no locks. Only ReadConfig and WriteConfig come from
// vCPU threads, one at a time for a device; what they share with the loop the device guards.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/counter.h"
#include "base/error.h"
#include "base/event_loop.h"
#include "hw/memory/guest_memory.h"
#include "hw/virtio/queue.h"

namespace berth::hw {

// Feature bits that belong to the ring and the transport (VIRTIO 1.2 section 6); the transport offers them
// itself.
inline constexpr uint64_t kVirtioRingIndirectDesc = 1ull << 28, kVirtioRingEventIdx = 1ull << 29,
                          kVirtioVersion1 = 1ull << 32, kVirtioRingPacked = 1ull << 34,
                          kVirtioInOrder = 1ull << 35, kVirtioNotificationData = 1ull << 38,
                          kVirtioRingReset = 1ull << 40;

// Device types (section 5).
enum class VirtioType : uint16_t {
  kNet = 1,
  kBlock = 2,
  kConsole = 3,
  kRng = 4,
  kBalloon = 5,
  kScsi = 8,
  kVsock = 19
};

// What a running device may ask of its transport. Any thread.
class VirtioTransport {
 public:
  virtual ~VirtioTransport() = default;
  // Device-specific configuration has changed: raises the generation and the configuration interrupt.
  virtual void ConfigChanged() = 0;
  // The driver broke a rule from which there is no way on: sets DEVICE_NEEDS_RESET (2.1.1). `why` is logged,
  // limited.
  virtual void NeedsReset(std::string_view why) = 0;
};

// What Activate is given. All of it is valid until Reset returns.
struct VirtioActivation {
  uint64_t features = 0;  // As negotiated, ring features included.
  const GuestMemory* memory = nullptr;
  EventLoop* loop = nullptr;  // The device's loop; queues' kicks are watched on it by the device.
  VirtioTransport* transport = nullptr;
  std::span<VirtQueue* const> queues;  // By index; nullptr where the driver did not enable one.
};

class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;

  virtual VirtioType type() const = 0;
  // Device-specific features offered (bits 0 to 23 and 50 up).
  virtual uint64_t features() const = 0;
  // Ring features that the transport must not offer, as whoever serves the queues does not know them (vhost).
  virtual uint64_t refused_ring_features() const { return 0; }
  // Largest size of each queue, a power of two up to kMaxQueueSize; their number is fixed.
  virtual std::span<const uint16_t> queue_sizes() const = 0;

  // Device-specific configuration (2.5). Out-of-range bytes read as 0 and are not written; the transport
  // bounds nothing.
  virtual void ReadConfig(uint32_t offset, std::span<uint8_t> bytes) = 0;
  virtual void WriteConfig(uint32_t offset, std::span<const uint8_t> bytes) = 0;

  // The driver set DRIVER_OK. An error makes the transport set DEVICE_NEEDS_RESET.
  virtual Status Activate(const VirtioActivation& activation) = 0;
  // Back to the state before Activate: when it returns, no queue and no guest memory is touched any more, by
  // this process or by the kernel. Also called when the device was never activated.
  virtual void Reset() = 0;

  // What the device counts, for as long as it lives. The list and the values: any thread.
  virtual std::vector<NamedCounter> counters() const { return {}; }
};

}  // namespace berth::hw
