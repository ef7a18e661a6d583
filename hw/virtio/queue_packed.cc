// Packed virtqueues: VIRTIO 1.2 section 2.8.
#include "hw/virtio/device.h"
#include "hw/virtio/queue.h"
#include "hw/virtio/ring.h"
#include "hw/virtio/trace.h"

namespace berth::hw {
namespace {

constexpr unsigned kLengthOffset = 8, kIdOffset = 12, kFlagsOffset = 14;
constexpr uint16_t kAvailable = 1 << 7, kUsed = 1 << 15;

// Event suppression: a position in the ring, then flags (2.8.14).
constexpr unsigned kEventPosition = 0, kEventFlags = 2, kEventSize = 4;
constexpr uint16_t kEventEnable = 0, kEventDisable = 1, kEventAtDescriptor = 2, kEventFlagsMask = 3;

// A place in the ring, and the wrap counter that goes with it.
struct Position {
  uint16_t index = 0;
  bool wrap = true;

  void Advance(uint16_t by, uint16_t size) {
    index = static_cast<uint16_t>(index + by);
    if (index < size) return;
    index = static_cast<uint16_t>(index - size);
    wrap = !wrap;
  }
  uint16_t Encoded() const { return static_cast<uint16_t>(index | wrap << 15); }
};

class PackedQueue final : public VirtQueue {
 public:
  PackedQueue(const GuestMemory* memory, const QueueLayout& layout, uint64_t features, int kick_fd,
              int call_fd, uint8_t* ring, uint8_t* driver_event, uint8_t* device_event)
      : VirtQueue(layout, kick_fd, call_fd),
        memory_(*memory),
        event_index_((features & kVirtioRingEventIdx) != 0),
        indirect_((features & kVirtioRingIndirectDesc) != 0),
        size_(layout.size),
        ring_(ring),
        driver_event_(driver_event),
        device_event_(device_event) {}

  Result<bool> PopInto(DescriptorChain* chain) override {
    if (broken_) return Fail(Code::kFailedPrecondition, "the queue is broken until its reset");
    if (!NextIsAvailable()) return false;
    if (const Status collected = Collect(chain); !collected) {
      broken_ = true;
      trace::virtqueue_broken(kick_fd(), collected.error().message());
      return Fail(collected.error());
    }
    next_.Advance(chain->descriptors, size_);
    in_flight_ += chain->descriptors;
    if (kicks_ && event_index_) AskForKick();
    trace::virtqueue_pop(kick_fd(), chain->id, chain->readable.size(), chain->writable.size());
    return true;
  }

  // The driver looks at the entries in order, so the flags of the first are written when all else is.
  void PushAll(std::span<const Used> used) override {
    if (used.empty()) return;
    uint8_t* const first_flags = ring_ + used_.index * kDescriptorSize + kFlagsOffset;
    const uint16_t first_value = UsedFlags(used.front().written);
    for (const auto& [chain, written] : used) {
      CHECK(in_flight_ >= chain->descriptors);
      uint8_t* const descriptor = ring_ + used_.index * kDescriptorSize;
      std::memcpy(descriptor + kLengthOffset, &written, sizeof(written));
      StoreShared(descriptor + kIdOffset, chain->id);
      if (descriptor + kFlagsOffset != first_flags)
        StoreShared(descriptor + kFlagsOffset, UsedFlags(written));
      used_.Advance(chain->descriptors, size_);
      in_flight_ -= chain->descriptors;
      unnotified_ += chain->descriptors;
      trace::virtqueue_push(kick_fd(), chain->id, written);
    }
    StoreShared(first_flags, first_value, std::memory_order_release);
  }

  void Notify() override {
    if (unnotified_ == 0) return;
    // The driver writes its event structure, then looks at the ring; here the other way round.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const bool wanted = InterruptWanted();
    unnotified_ = 0;
    trace::virtqueue_notify(kick_fd(), wanted);
    if (wanted && call_fd() >= 0) SignalEventFd(call_fd());
  }

  bool EnableKicks() override {
    kicks_ = true;
    AskForKick();
    return NextIsAvailable();
  }

  void DisableKicks() override {
    kicks_ = false;
    StoreShared(device_event_ + kEventFlags, kEventDisable);
  }

  // With the wrap counter in bit 15, as the driver's notifications and vhost have it.
  uint16_t available_index() const override { return next_.Encoded(); }

 private:
  // Of an entry that is used now.
  uint16_t UsedFlags(uint32_t written) const {
    return static_cast<uint16_t>((used_.wrap ? kAvailable | kUsed : 0) |
                                 (written != 0 ? kDescriptorWrite : 0));
  }

  bool NextIsAvailable() const {
    const uint16_t flags =
        LoadShared(ring_ + next_.index * kDescriptorSize + kFlagsOffset, std::memory_order_acquire);
    return ((flags & kAvailable) != 0) == next_.wrap && ((flags & kUsed) != 0) != next_.wrap;
  }

  // The list of descriptors at next_: available as a whole, as its first one is (2.8.6).
  Status Collect(DescriptorChain* chain) const {
    chain->readable.clear();
    chain->writable.clear();
    ChainBuilder builder(chain);
    Position at = next_;
    for (uint16_t count = 1;; ++count) {
      if (in_flight_ + count > size_) {
        return Fail(Code::kInvalidArgument, "a chain that loops or is longer than the room in its queue");
      }
      const auto descriptor = CopyShared<PackedDescriptor>(ring_ + at.index * kDescriptorSize);
      chain->id = descriptor.id;  // That of the last one counts.
      chain->descriptors = count;
      if (descriptor.flags & kDescriptorIndirect) {
        if (count != 1 || (descriptor.flags & kDescriptorNext)) {
          return Fail(Code::kInvalidArgument, "an indirect descriptor in a list");
        }
        return CollectIndirect(descriptor, &builder);
      }
      TRY(builder.Add(descriptor.address, descriptor.length, descriptor.flags & kDescriptorWrite));
      if ((descriptor.flags & kDescriptorNext) == 0) return Ok();
      at.Advance(1, size_);
    }
  }

  // All of the table, in order; no flag but WRITE means anything in it (2.8.7).
  Status CollectIndirect(const PackedDescriptor& table, ChainBuilder* builder) const {
    if (!indirect_) return Fail(Code::kInvalidArgument, "an indirect descriptor that was not negotiated");
    const uint32_t count = TRY(IndirectCount(table.length));
    for (uint32_t i = 0; i < count; ++i) {
      PackedDescriptor descriptor;
      if (!memory_.Load(table.address + i * kDescriptorSize, &descriptor)) {
        return Fail(Code::kInvalidArgument, "an indirect table at {:#x}, not in RAM", table.address);
      }
      TRY(builder->Add(descriptor.address, descriptor.length, descriptor.flags & kDescriptorWrite));
    }
    return Ok();
  }

  // Asks for a kick when the driver adds the next chain, before the ring is looked at again.
  void AskForKick() {
    if (event_index_) {
      StoreShared(device_event_ + kEventPosition, next_.Encoded());
      StoreShared(device_event_ + kEventFlags, kEventAtDescriptor, std::memory_order_release);
    } else {
      StoreShared(device_event_ + kEventFlags, kEventEnable);
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }

  bool InterruptWanted() const {
    const uint16_t flags =
        LoadShared(driver_event_ + kEventFlags, std::memory_order_acquire) & kEventFlagsMask;
    if (flags == kEventDisable) return false;
    if (!event_index_ || flags != kEventAtDescriptor || unnotified_ > size_) return true;
    // Whether the position lies among the entries used since the last time, which end before used_.
    const uint16_t encoded = LoadShared(driver_event_ + kEventPosition);
    uint16_t event = encoded & 0x7fff;
    if ((encoded >> 15 != 0) != used_.wrap) event = static_cast<uint16_t>(event - size_);
    return static_cast<uint16_t>(used_.index - event - 1) < unnotified_;
  }

  const GuestMemory& memory_;
  const bool event_index_, indirect_;
  const uint16_t size_;
  uint8_t* const ring_;
  const uint8_t* const driver_event_;
  uint8_t* const device_event_;
  Position next_, used_;
  uint32_t in_flight_ = 0;   // Ring entries.
  uint32_t unnotified_ = 0;  // Ring entries used since the last Notify.
  bool kicks_ = true;
  bool broken_ = false;
};

}  // namespace

Result<std::unique_ptr<VirtQueue>> CreatePackedQueue(const GuestMemory* memory, const QueueLayout& layout,
                                                     uint64_t features, int kick_fd, int call_fd) {
  uint8_t* ring = TRY(RingMemory(*memory, layout.descriptor_area, uint64_t{layout.size} * kDescriptorSize, 16,
                                 "descriptor ring"));
  uint8_t* driver_event =
      TRY(RingMemory(*memory, layout.driver_area, kEventSize, 4, "driver event suppression"));
  uint8_t* device_event =
      TRY(RingMemory(*memory, layout.device_area, kEventSize, 4, "device event suppression"));
  return std::make_unique<PackedQueue>(memory, layout, features, kick_fd, call_fd, ring, driver_event,
                                       device_event);
}

}  // namespace berth::hw
