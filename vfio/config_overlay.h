// What a guest reads from an assigned function's configuration space in place of what the hardware says:
// single bits, with the values that stand for them. Pure data.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace berth::vfio {

// Accesses lie within one aligned dword.
class ConfigOverlay {
 public:
  static constexpr uint16_t kSize = 4096;

  // The bits of `mask` are ours from now on: `value`, and those of `writable` as the guest writes them.
  template <typename T>
  void Emulate(uint16_t offset, T mask, T value, T writable = 0) {
    StoreLe<T>(&mask_[offset], LoadLe<T>(&mask_[offset]) | mask);
    StoreLe<T>(&writable_[offset], (LoadLe<T>(&writable_[offset]) & ~mask) | (writable & mask));
    StoreLe<T>(&value_[offset], (LoadLe<T>(&value_[offset]) & ~mask) | (value & mask));
  }
  // Ours and the guest's last writes; other bits are 0.
  template <typename T>
  T Get(uint16_t offset) const {
    return LoadLe<T>(&value_[offset]);
  }
  // Changes bits that are ours.
  template <typename T>
  void Set(uint16_t offset, T value) {
    StoreLe<T>(&value_[offset], value & LoadLe<T>(&mask_[offset]));
  }

  // Whether every bit is ours: the hardware need not be asked.
  bool Covers(uint16_t offset, unsigned size) const;
  uint32_t Merge(uint16_t offset, unsigned size, uint32_t from_hardware) const;
  // The guest's write, as far as it is ours.
  void Write(uint16_t offset, unsigned size, uint32_t value);
  // All that the guest wrote is forgotten.
  void Reset();

 private:
  std::array<uint8_t, kSize> mask_{}, value_{}, writable_{};
};

}  // namespace berth::vfio
