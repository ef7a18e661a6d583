#include "hw/virtio/chain.h"

#include <algorithm>
#include <cstring>

namespace berth::hw {
namespace {

// Calls `use(part)` for the parts of buffers that hold [offset, offset + length); false when one call is, or
// when the buffers end before.
template <typename Use>
bool ForEachPart(std::span<const GuestBuffer> buffers, uint64_t offset, uint64_t length, Use use) {
  for (const GuestBuffer& buffer : buffers) {
    if (length == 0) break;
    if (offset >= buffer.size) {
      offset -= buffer.size;
      continue;
    }
    const auto size = static_cast<uint32_t>(std::min<uint64_t>(buffer.size - offset, length));
    const uint64_t address = buffer.address + offset;
    if (address < offset || !use(GuestBuffer{address, size})) return false;
    offset = 0;
    length -= size;
  }
  return length == 0;
}

// Copies between a part and `bytes`, also where the part crosses from one range of RAM into the next.
template <typename Copy>
bool CopyPart(const GuestMemory& memory, const GuestBuffer& part, Copy copy) {
  const std::span<uint8_t> host = memory.HostBytes(part.address, part.size);
  if (host.data() != nullptr) {
    copy(host);
    return true;
  }
  std::vector<iovec> pieces;
  if (!memory.AppendTo(part, &pieces)) return false;
  for (const iovec& piece : pieces) copy({static_cast<uint8_t*>(piece.iov_base), piece.iov_len});
  return true;
}

}  // namespace

bool AppendPieces(const GuestMemory& memory, std::span<const GuestBuffer> buffers, uint64_t offset,
                  uint64_t length, std::vector<iovec>* pieces) {
  return ForEachPart(buffers, offset, length,
                     [&](const GuestBuffer& part) { return memory.AppendTo(part, pieces); });
}

bool ReadChain(const GuestMemory& memory, std::span<const GuestBuffer> buffers, uint64_t offset,
               std::span<uint8_t> out) {
  uint8_t* next = out.data();
  return ForEachPart(buffers, offset, out.size(), [&](const GuestBuffer& part) {
    return CopyPart(memory, part, [&next](std::span<uint8_t> host) {
      std::memcpy(next, host.data(), host.size());
      __asm__ volatile("" ::: "memory");  // Read no second time.
      next += host.size();
    });
  });
}

bool WriteChain(const GuestMemory& memory, std::span<const GuestBuffer> buffers, uint64_t offset,
                std::span<const uint8_t> bytes) {
  const uint8_t* next = bytes.data();
  return ForEachPart(buffers, offset, bytes.size(), [&](const GuestBuffer& part) {
    return CopyPart(memory, part, [&next](std::span<uint8_t> host) {
      std::memcpy(host.data(), next, host.size());
      next += host.size();
    });
  });
}

}  // namespace berth::hw
