// What the driver of a virtio device over PCI talks to: common configuration (VIRTIO 1.2, 4.1.4.3), the
// interrupt status (4.1.4.5) and, passed on, the device's own configuration; and with them the life of the
// device from reset to reset.
//
// Locks: vCPU threads take mutex_ for every access and keep it while the device is activated or reset on its
// loop. The loop therefore never takes it: what it changes (interrupt status, generation, the need of a
// reset) is atomic.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/mutex.h"
#include "hw/memory/guest_memory.h"
#include "hw/pci/msix.h"
#include "hw/virtio/device.h"

namespace berth::hw {

// The device status field (2.1).
inline constexpr uint8_t kStatusAcknowledge = 1, kStatusDriver = 2, kStatusDriverOk = 4,
                         kStatusFeaturesOk = 8, kStatusNeedsReset = 64, kStatusFailed = 128;
inline constexpr uint16_t kNoVector = 0xffff;

class CommonConfig final : public IoHandler, private VirtioTransport {
 public:
  static constexpr unsigned kSize = 64;

  // `memory`, `loop` and `msix` outlive this.
  static Result<std::unique_ptr<CommonConfig>> Create(std::string name, std::unique_ptr<VirtioDevice> device,
                                                      const GuestMemory* memory, EventLoop* loop, Msix* msix);
  ~CommonConfig() override;

  // The common configuration structure. Fields are written at their own width (4.1.3.1); anything else is
  // dropped.
  uint64_t Read(uint64_t offset, unsigned size) override EXCLUDES(mutex_);
  void Write(uint64_t offset, unsigned size, uint64_t value) override EXCLUDES(mutex_);

  // Device-specific configuration.
  uint64_t ReadDevice(uint64_t offset, unsigned size) EXCLUDES(mutex_);
  void WriteDevice(uint64_t offset, unsigned size, uint64_t value) EXCLUDES(mutex_);

  // The interrupt status, which reading clears. Queues interrupt through MSI-X alone and do not show in it.
  uint8_t TakeIsr() { return isr_.exchange(0); }

  // Resets the device, and everything here to the state after power-on.
  void Reset() EXCLUDES(mutex_);

  unsigned queue_count() const { return static_cast<unsigned>(queues_.size()); }
  // The eventfd that the queue's doorbell signals; the same for as long as this lives.
  int doorbell(unsigned queue) const { return queues_[queue].doorbell.get(); }

 private:
  struct Queue {
    uint16_t max_size = 0;
    UniqueFd doorbell;
  };
  // What the driver sets of a queue.
  struct QueueState {
    QueueLayout layout;
    uint16_t vector = kNoVector;
    bool enabled = false;
  };
  CommonConfig(std::string name, std::unique_ptr<VirtioDevice> device, const GuestMemory* memory,
               EventLoop* loop, Msix* msix);

  void WriteField(unsigned offset, unsigned size, uint64_t value) REQUIRES(mutex_);
  void WriteQueueField(unsigned offset, unsigned size, uint64_t value) REQUIRES(mutex_);
  void WriteStatus(uint8_t status) REQUIRES(mutex_);
  bool FeaturesAcceptable() const REQUIRES(mutex_);
  Status Activate() REQUIRES(mutex_);
  void ResetLocked() REQUIRES(mutex_);
  uint16_t CheckedVector(uint64_t vector) const;

  // VirtioTransport; any thread, without mutex_.
  void ConfigChanged() override;
  void NeedsReset(std::string_view why) override;
  void InterruptForConfig();

  const std::string name_;
  const GuestMemory& memory_;
  EventLoop& loop_;
  Msix& msix_;
  std::unique_ptr<VirtioDevice> device_;  // Used on loop_; its configuration under mutex_.
  const uint64_t offered_features_;
  std::vector<Queue> queues_;  // Constant.

  std::atomic<uint8_t> isr_{0};
  std::atomic<bool> config_changed_{false};  // Since the driver last read a part of it.
  std::atomic<uint16_t> config_vector_{kNoVector};
  std::atomic<bool> driver_ok_{false}, needs_reset_{false};

  Mutex mutex_;
  uint8_t status_ GUARDED_BY(mutex_) = 0;  // Without NEEDS_RESET.
  uint8_t generation_ GUARDED_BY(mutex_) = 0;
  uint32_t device_feature_select_ GUARDED_BY(mutex_) = 0;
  uint32_t driver_feature_select_ GUARDED_BY(mutex_) = 0;
  uint64_t driver_features_ GUARDED_BY(mutex_) = 0;
  uint16_t queue_select_ GUARDED_BY(mutex_) = 0;
  std::vector<QueueState> queue_states_ GUARDED_BY(mutex_);
  // From activation to reset, by index; nullptr for a queue that was not enabled.
  std::vector<std::unique_ptr<VirtQueue>> active_ GUARDED_BY(mutex_);
  std::vector<VirtQueue*> active_pointers_ GUARDED_BY(mutex_);
};

}  // namespace berth::hw
