// The bytes of a chain, across its buffers. VIRTIO 1.2 section 2.7.4: where a driver divides a message into
// buffers means nothing, so devices address bytes, never descriptors.
//
// `buffers` is the readable or the writable part of a chain, `offset` counts bytes from its start.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

#include "hw/memory/guest_memory.h"

namespace berth::hw {

// Appends [offset, offset + length) to `pieces`, as this process sees it; false, with `pieces` undefined, if
// the buffers are shorter or any of it is not RAM.
[[nodiscard]] bool AppendPieces(const GuestMemory& memory, std::span<const GuestBuffer> buffers,
                                uint64_t offset, uint64_t length, std::vector<iovec>* pieces);

// Copies out of and into the chain, every byte once; false if that much is not there.
[[nodiscard]] bool ReadChain(const GuestMemory& memory, std::span<const GuestBuffer> buffers, uint64_t offset,
                             std::span<uint8_t> out);
[[nodiscard]] bool WriteChain(const GuestMemory& memory, std::span<const GuestBuffer> buffers,
                              uint64_t offset, std::span<const uint8_t> bytes);

template <typename T>
[[nodiscard]] bool LoadChain(const GuestMemory& memory, std::span<const GuestBuffer> buffers, uint64_t offset,
                             T* value) {
  return ReadChain(memory, buffers, offset, {reinterpret_cast<uint8_t*>(value), sizeof(T)});
}

}  // namespace berth::hw
