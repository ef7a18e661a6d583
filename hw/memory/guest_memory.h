// Guest RAM as devices see it: copies in and out by guest-physical address.
//
// Everything the guest can write is hostile and changes under our hands: Load copies exactly once; validate
// the copy, use the copy. Immutable after construction; any thread.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "hw/memory/region.h"

namespace berth::hw {

// One run of guest RAM.
struct RamRange {
  uint64_t guest_address = 0;
  HostMapping mapping;
};

// A buffer of the guest, as found in a descriptor: nothing about it has been checked.
struct GuestBuffer {
  uint64_t address = 0;
  uint32_t size = 0;
};

class GuestMemory {
 public:
  // `ranges` are sorted, disjoint, and outlive this.
  explicit GuestMemory(std::vector<RamRange> ranges) : ranges_(std::move(ranges)) {}
  GuestMemory(const GuestMemory&) = delete;

  // The bytes at [address, address + size) in this process, or an empty span unless all of them are RAM of
  // one range. For DMA (readv, io_uring) and for rings; the content may change at any time.
  std::span<uint8_t> HostBytes(uint64_t address, uint64_t size) const;

  // Copies; false, and nothing copied, unless the whole range is RAM.
  [[nodiscard]] bool Read(uint64_t address, std::span<uint8_t> out) const;
  [[nodiscard]] bool Write(uint64_t address, std::span<const uint8_t> bytes) const;

  // A whole trivially copyable value at any alignment, copied once.
  template <typename T>
  [[nodiscard]] bool Load(uint64_t address, T* value) const {
    return Read(address, {reinterpret_cast<uint8_t*>(value), sizeof(T)});
  }
  template <typename T>
  [[nodiscard]] bool Store(uint64_t address, const T& value) const {
    return Write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof(T)});
  }

  // Appends the host pieces of `buffer` to `pieces`; false (and nothing appended) unless all of it is RAM. A
  // buffer that crosses from one range into the next yields several pieces.
  [[nodiscard]] bool AppendTo(const GuestBuffer& buffer, std::vector<iovec>* pieces) const;

  const std::vector<RamRange>& ranges() const { return ranges_; }
  uint64_t size_bytes() const;

 private:
  const std::vector<RamRange> ranges_;
};

}  // namespace berth::hw
