// Guest RAM for tests: a memfd, with a bump allocator for what a driver would allocate.
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "hw/memory/guest_memory.h"
#include "hw/memory/ram.h"

namespace berth::hw {

class FakeRam {
 public:
  // Each range of the guest's addresses is backed by its own memfd.
  explicit FakeRam(std::vector<Range> ranges = {{0x10000, 16 * kMiB}});

  const GuestMemory& memory() const { return *memory_; }

  // Unused, zeroed bytes of the first range.
  uint64_t Allocate(uint64_t size, uint64_t alignment = 16);
  uint64_t AllocateWith(std::span<const uint8_t> bytes, uint64_t alignment = 16);
  uint64_t AllocateWith(std::string_view text) {
    return AllocateWith({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }

  // As the guest sees it; the range must be RAM.
  uint8_t* At(uint64_t address, uint64_t size = 1);
  template <typename T>
  T Get(uint64_t address) {
    T value;
    std::memcpy(&value, At(address, sizeof(T)), sizeof(T));
    return value;
  }
  template <typename T>
  void Set(uint64_t address, T value) {
    std::memcpy(At(address, sizeof(T)), &value, sizeof(T));
  }
  std::string_view Text(uint64_t address, uint64_t size) {
    return {reinterpret_cast<const char*>(At(address, size)), size};
  }

  const RamBlock& block(unsigned range) const { return *blocks_[range]; }

 private:
  std::vector<std::unique_ptr<RamBlock>> blocks_;
  std::unique_ptr<GuestMemory> memory_;
  uint64_t next_ = 0;
};

}  // namespace berth::hw
