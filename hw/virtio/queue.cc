#include "hw/virtio/queue.h"

#include "base/bytes.h"
#include "hw/virtio/device.h"
#include "hw/virtio/ring.h"

namespace berth::hw {
namespace {

// No chain is longer than 2^32 bytes in total (2.7.5.2).
constexpr uint64_t kMaxChainBytes = uint64_t{1} << 32;

uint64_t Sum(const std::vector<GuestBuffer>& buffers) {
  uint64_t bytes = 0;
  for (const GuestBuffer& buffer : buffers) bytes += buffer.size;
  return bytes;
}

}  // namespace

uint64_t DescriptorChain::readable_bytes() const { return Sum(readable); }
uint64_t DescriptorChain::writable_bytes() const { return Sum(writable); }

Result<std::optional<DescriptorChain>> VirtQueue::Pop() {
  DescriptorChain chain;
  if (!TRY(PopInto(&chain))) return std::nullopt;
  return chain;
}

Result<std::unique_ptr<VirtQueue>> VirtQueue::Create(const GuestMemory* memory, const QueueLayout& layout,
                                                     uint64_t features, int kick_fd, int call_fd) {
  if (layout.size == 0 || layout.size > kMaxQueueSize) {
    return Fail(Code::kInvalidArgument, "a queue of {} entries", layout.size);
  }
  const bool packed = (features & kVirtioRingPacked) != 0;
  if (!packed && !IsPowerOfTwo(layout.size)) {
    return Fail(Code::kInvalidArgument, "a split queue of {} entries, not a power of two", layout.size);
  }
  if (packed && layout.first != 0)
    return Fail(Code::kUnimplemented, "a packed queue that goes on at entry {}", layout.first);
  return packed ? CreatePackedQueue(memory, layout, features, kick_fd, call_fd)
                : CreateSplitQueue(memory, layout, features, kick_fd, call_fd);
}

Status ChainBuilder::Add(uint64_t address, uint32_t length, bool writable) {
  if (++count_ > kMaxChainLength) {
    return Fail(Code::kInvalidArgument, "a chain of more than {} descriptors", kMaxChainLength);
  }
  bytes_ += length;
  if (bytes_ > kMaxChainBytes) return Fail(Code::kInvalidArgument, "a chain of more than 4 GiB");
  if (writable_seen_ && !writable) {
    return Fail(Code::kInvalidArgument, "a descriptor to read after one to write");
  }
  writable_seen_ |= writable;
  // An empty buffer is nothing to a device.
  if (length != 0) (writable ? chain_->writable : chain_->readable).push_back({address, length});
  return Ok();
}

Result<uint32_t> IndirectCount(uint32_t length) {
  if (length == 0 || length % kDescriptorSize != 0 || length / kDescriptorSize > kMaxChainLength) {
    return Fail(Code::kInvalidArgument, "an indirect table of {} bytes", length);
  }
  return length / kDescriptorSize;
}

Result<uint8_t*> RingMemory(const GuestMemory& memory, uint64_t address, uint64_t size, uint64_t alignment,
                            const char* name) {
  if (!IsAligned(address, alignment)) {
    return Fail(Code::kInvalidArgument, "the {} at {:#x} is not aligned to {} bytes", name, address,
                alignment);
  }
  const std::span<uint8_t> bytes = memory.HostBytes(address, size);
  if (bytes.data() == nullptr) {
    return Fail(Code::kInvalidArgument, "the {} at {:#x} ({} bytes) is not in RAM", name, address, size);
  }
  return bytes.data();
}

}  // namespace berth::hw
