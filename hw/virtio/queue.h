// One virtqueue, from the device's side: split (VIRTIO 1.2 section 2.7) or packed (2.8), behind one type.
//
// The rings are guest memory: hostile, and changing while we read. Every index and length is copied once and
// checked; a chain is followed for at most its queue's size of steps. A queue that was caught lying stays
// broken until reset.
//
// Threads: one user at a time (the device's loop).
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "hw/interrupt/interrupt.h"
#include "hw/memory/guest_memory.h"

namespace berth::hw {

inline constexpr uint16_t kMaxQueueSize = 1024;
// The most descriptors of one chain, those of an indirect table included.
inline constexpr uint32_t kMaxChainLength = 1024;

// Where a queue is, as the driver set it through the transport.
struct QueueLayout {
  uint16_t size = 0;             // Entries; a power of two for split rings, any number for packed.
  uint64_t descriptor_area = 0;  // Guest-physical; split: descriptor table, packed: descriptor ring.
  uint64_t driver_area = 0;      // Split: available ring, packed: driver event suppression.
  uint64_t device_area = 0;      // Split: used ring, packed: device event suppression.
  uint16_t first = 0;  // Index of the first entry that no device has seen yet, where a queue goes on (split).
};

// A chain of buffers the driver made available. Addresses and lengths are as the guest wrote them; translate
// them with GuestMemory::AppendTo, which checks.
struct DescriptorChain {
  std::vector<GuestBuffer> readable;  // For the device to read, in order.
  std::vector<GuestBuffer> writable;  // For the device to write, in order.
  uint16_t id = 0;                    // Split: index of the head; packed: buffer id.
  uint16_t descriptors = 0;           // Packed: ring entries it occupies.

  uint64_t readable_bytes() const;
  uint64_t writable_bytes() const;
};

class VirtQueue {
 public:
  virtual ~VirtQueue() = default;

  // Checks the layout (alignment, all of it in RAM) and starts with empty rings, at `first`. `memory` and the
  // descriptors outlive the queue. `kick_fd` is signalled by the driver's doorbell; `call_fd` interrupts the
  // driver (-1: no vector). INVALID_ARGUMENT for a layout that is not allowed.
  static Result<std::unique_ptr<VirtQueue>> Create(const GuestMemory* memory, const QueueLayout& layout,
                                                   uint64_t features, int kick_fd, int call_fd);

  // The next available chain into `chain`, whose memory is used again, so that a busy device allocates
  // nothing; false if there is none. An error means that the ring is broken: the device calls NeedsReset and
  // stops.
  virtual Result<bool> PopInto(DescriptorChain* chain) = 0;
  // The same as a value of its own.
  Result<std::optional<DescriptorChain>> Pop();
  // A chain to give back, `written` bytes of its writable part filled.
  struct Used {
    const DescriptorChain* chain = nullptr;
    uint32_t written = 0;
  };
  // Gives chains back, in any order. The driver sees all of them or none, as it must of a packet that was
  // divided among several (5.1.6.4).
  virtual void PushAll(std::span<const Used> used) = 0;
  void Push(const DescriptorChain& chain, uint32_t written) {
    const Used used{&chain, written};
    PushAll({&used, 1});
  }
  // Interrupts the driver if something was pushed since the last call and the driver wants to know.
  virtual void Notify() = 0;
  // Asks the driver for kicks, or says that none are needed. After Enable the device must Pop once more: true
  // means that something may have become available in between.
  virtual bool EnableKicks() = 0;
  virtual void DisableKicks() = 0;

  int kick_fd() const { return kick_fd_; }
  int call_fd() const { return call_fd_; }
  const QueueLayout& layout() const { return layout_; }
  // Where the queue stands (split: index of the next available entry), for handing it to vhost or to a
  // migration.
  virtual uint16_t available_index() const = 0;

 protected:
  VirtQueue(const QueueLayout& layout, int kick_fd, int call_fd)
      : layout_(layout), kick_fd_(kick_fd), call_fd_(call_fd) {}

 private:
  const QueueLayout layout_;
  const int kick_fd_;
  const int call_fd_;
};

}  // namespace berth::hw
