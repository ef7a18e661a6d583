// What both ring formats share: access to ring memory, and collecting the buffers of a chain. For queue_*.cc
// alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "hw/virtio/queue.h"

namespace berth::hw {

// Flags of a descriptor (2.7.5, 2.8.1).
inline constexpr uint16_t kDescriptorNext = 1, kDescriptorWrite = 2, kDescriptorIndirect = 4;

// Descriptor areas are 16-byte aligned, and so is the length of an indirect table.
inline constexpr uint32_t kDescriptorSize = 16;

// One descriptor, copied out of guest memory. Word 12 is `next` in split rings and `id` in packed ones, where
// the flags come after it.
struct SplitDescriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};
struct PackedDescriptor {
  uint64_t address;
  uint32_t length;
  uint16_t id;
  uint16_t flags;
};
static_assert(sizeof(SplitDescriptor) == kDescriptorSize && sizeof(PackedDescriptor) == kDescriptorSize);

// Aligned 16-bit words that the driver reads and writes meanwhile.
inline uint16_t LoadShared(const uint8_t* word, std::memory_order order = std::memory_order_relaxed) {
  return std::atomic_ref(*reinterpret_cast<uint16_t*>(const_cast<uint8_t*>(word))).load(order);
}
inline void StoreShared(uint8_t* word, uint16_t value, std::memory_order order = std::memory_order_relaxed) {
  std::atomic_ref(*reinterpret_cast<uint16_t*>(word)).store(value, order);
}

// One copy of a value that may change meanwhile.
template <typename T>
T CopyShared(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  __asm__ volatile("" ::: "memory");
  return value;
}

// Collects the buffers of one chain in order, and refuses what no chain may be.
class ChainBuilder {
 public:
  explicit ChainBuilder(DescriptorChain* chain) : chain_(chain) {}
  Status Add(uint64_t address, uint32_t length, bool writable);

 private:
  DescriptorChain* const chain_;
  uint32_t count_ = 0;
  uint64_t bytes_ = 0;
  bool writable_seen_ = false;
};

// The number of descriptors in an indirect table of `length` bytes (2.7.5.3, 2.8.7).
Result<uint32_t> IndirectCount(uint32_t length);

// The ring of `size` bytes at `address`, or INVALID_ARGUMENT with its name.
Result<uint8_t*> RingMemory(const GuestMemory& memory, uint64_t address, uint64_t size, uint64_t alignment,
                            const char* name);

Result<std::unique_ptr<VirtQueue>> CreateSplitQueue(const GuestMemory* memory, const QueueLayout& layout,
                                                    uint64_t features, int kick_fd, int call_fd);
Result<std::unique_ptr<VirtQueue>> CreatePackedQueue(const GuestMemory* memory, const QueueLayout& layout,
                                                     uint64_t features, int kick_fd, int call_fd);

}  // namespace berth::hw
