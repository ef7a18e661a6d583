// Split virtqueues: VIRTIO 1.2 section 2.7.
#include "hw/virtio/device.h"
#include "hw/virtio/queue.h"
#include "hw/virtio/ring.h"
#include "hw/virtio/trace.h"

namespace berth::hw {
namespace {

// In both rings: flags, index, and then the entries, with the other side's event word behind them.
constexpr unsigned kFlagsOffset = 0, kIndexOffset = 2, kEntriesOffset = 4;
constexpr uint16_t kAvailableNoInterrupt = 1, kUsedNoNotify = 1;

struct UsedEntry {
  uint32_t id;
  uint32_t length;
};

class SplitQueue final : public VirtQueue {
 public:
  SplitQueue(const GuestMemory* memory, const QueueLayout& layout, uint64_t features, int kick_fd,
             int call_fd, uint8_t* descriptors, uint8_t* available, uint8_t* used)
      : VirtQueue(layout, kick_fd, call_fd),
        memory_(*memory),
        event_index_((features & kVirtioRingEventIdx) != 0),
        indirect_((features & kVirtioRingIndirectDesc) != 0),
        size_(layout.size),
        descriptors_(descriptors),
        available_(available),
        used_(used),
        next_(layout.first),
        used_index_(layout.first),
        notified_index_(layout.first) {}

  Result<bool> PopInto(DescriptorChain* chain) override {
    if (broken_) return Fail(Code::kFailedPrecondition, "the queue is broken until its reset");
    Result<bool> taken = Take(chain);
    if (!taken) {
      broken_ = true;
      trace::virtqueue_broken(kick_fd(), taken.error().message());
    } else if (*taken) {
      trace::virtqueue_pop(kick_fd(), chain->id, chain->readable.size(), chain->writable.size());
    }
    return taken;
  }

  void PushAll(std::span<const Used> used) override {
    CHECK(in_flight_ >= used.size());
    for (const auto& [chain, written] : used) {
      const UsedEntry entry{chain->id, written};
      std::memcpy(used_ + kEntriesOffset + (used_index_ % size_) * sizeof(UsedEntry), &entry, sizeof(entry));
      ++used_index_;
      trace::virtqueue_push(kick_fd(), chain->id, written);
    }
    in_flight_ -= static_cast<uint32_t>(used.size());
    StoreShared(used_ + kIndexOffset, used_index_, std::memory_order_release);
  }

  void Notify() override {
    if (notified_index_ == used_index_) return;
    // The driver writes its event word or flag, then looks at the used index; here the other way round.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    bool wanted;
    if (event_index_) {
      const uint16_t event = LoadShared(available_ + kEntriesOffset + size_ * 2u);
      wanted = static_cast<uint16_t>(used_index_ - event - 1) <
               static_cast<uint16_t>(used_index_ - notified_index_);
    } else {
      wanted = (LoadShared(available_ + kFlagsOffset) & kAvailableNoInterrupt) == 0;
    }
    notified_index_ = used_index_;
    trace::virtqueue_notify(kick_fd(), wanted);
    if (wanted && call_fd() >= 0) SignalEventFd(call_fd());
  }

  bool EnableKicks() override {
    kicks_ = true;
    if (event_index_) {
      StoreAvailableEvent();
    } else {
      StoreShared(used_ + kFlagsOffset, 0);
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    return LoadShared(available_ + kIndexOffset) != next_;
  }

  void DisableKicks() override {
    kicks_ = false;
    // With the event index, leaving the event word behind is enough: the driver passes it once in 65536
    // chains.
    if (!event_index_) StoreShared(used_ + kFlagsOffset, kUsedNoNotify);
  }

  uint16_t available_index() const override { return next_; }

 private:
  Result<bool> Take(DescriptorChain* chain) {
    const uint16_t index = LoadShared(available_ + kIndexOffset, std::memory_order_acquire);
    const auto ready = static_cast<uint16_t>(index - next_);
    if (ready == 0) return false;
    if (ready > size_) {
      return Fail(Code::kInvalidArgument, "the available index went from {} to {} with {} entries", next_,
                  index, size_);
    }
    // Each chain holds a descriptor of the table until it is used.
    if (in_flight_ >= size_) {
      return Fail(Code::kInvalidArgument, "more than {} chains at once", size_);
    }
    const uint16_t head = LoadShared(available_ + kEntriesOffset + (next_ % size_) * 2u);
    chain->readable.clear();
    chain->writable.clear();
    TRY(Collect(head, chain));
    chain->id = head;
    ++next_;
    ++in_flight_;
    if (kicks_ && event_index_) StoreAvailableEvent();
    return true;
  }

  // Follows a chain through the table, and through the indirect table it may end in (2.7.5.3).
  Status Collect(uint16_t head, DescriptorChain* chain) const {
    ChainBuilder builder(chain);
    uint16_t index = head;
    for (uint32_t steps = 0;; ++steps) {
      if (index >= size_) return Fail(Code::kInvalidArgument, "descriptor {} of {}", index, size_);
      if (steps == size_)
        return Fail(Code::kInvalidArgument, "a chain that loops or is longer than its queue");
      const auto descriptor = CopyShared<SplitDescriptor>(descriptors_ + index * kDescriptorSize);
      if (descriptor.flags & kDescriptorIndirect) return CollectIndirect(descriptor, &builder);
      TRY(builder.Add(descriptor.address, descriptor.length, descriptor.flags & kDescriptorWrite));
      if ((descriptor.flags & kDescriptorNext) == 0) return Ok();
      index = descriptor.next;
    }
  }

  Status CollectIndirect(const SplitDescriptor& table, ChainBuilder* builder) const {
    if (!indirect_) return Fail(Code::kInvalidArgument, "an indirect descriptor that was not negotiated");
    if (table.flags & kDescriptorNext)
      return Fail(Code::kInvalidArgument, "an indirect descriptor with a next");
    const uint32_t count = TRY(IndirectCount(table.length));
    uint32_t index = 0;
    for (uint32_t steps = 0; steps < count; ++steps) {
      SplitDescriptor descriptor;
      if (!memory_.Load(table.address + index * kDescriptorSize, &descriptor)) {
        return Fail(Code::kInvalidArgument, "an indirect table at {:#x}, not in RAM", table.address);
      }
      if (descriptor.flags & kDescriptorIndirect) return Fail(Code::kInvalidArgument, "indirect in indirect");
      TRY(builder->Add(descriptor.address, descriptor.length, descriptor.flags & kDescriptorWrite));
      if ((descriptor.flags & kDescriptorNext) == 0) return Ok();
      index = descriptor.next;
      if (index >= count) return Fail(Code::kInvalidArgument, "indirect descriptor {} of {}", index, count);
    }
    return Fail(Code::kInvalidArgument, "an indirect chain that loops");
  }

  // Asks for a kick when the driver adds the next chain, before the available index is looked at again.
  void StoreAvailableEvent() {
    StoreShared(used_ + kEntriesOffset + size_ * sizeof(UsedEntry), next_);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }

  const GuestMemory& memory_;
  const bool event_index_, indirect_;
  const uint16_t size_;
  const uint8_t* const descriptors_;
  const uint8_t* const available_;
  uint8_t* const used_;
  uint16_t next_;  // Index of the next available entry, free-running as all of these.
  uint16_t used_index_;
  uint16_t notified_index_;
  uint32_t in_flight_ = 0;
  bool kicks_ = true;
  bool broken_ = false;
};

}  // namespace

Result<std::unique_ptr<VirtQueue>> CreateSplitQueue(const GuestMemory* memory, const QueueLayout& layout,
                                                    uint64_t features, int kick_fd, int call_fd) {
  const uint64_t size = layout.size;
  uint8_t* descriptors =
      TRY(RingMemory(*memory, layout.descriptor_area, size * kDescriptorSize, 16, "descriptor table"));
  uint8_t* available = TRY(RingMemory(*memory, layout.driver_area, 6 + 2 * size, 2, "available ring"));
  uint8_t* used = TRY(RingMemory(*memory, layout.device_area, 6 + 8 * size, 4, "used ring"));
  return std::make_unique<SplitQueue>(memory, layout, features, kick_fd, call_fd, descriptors, available,
                                      used);
}

}  // namespace berth::hw
