// The MSI capability: its registers and its vectors. PCI Local Bus 3.0, 6.8.1.
//
// One user at a time (the host bridge serialises configuration accesses).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/error.h"
#include "hw/interrupt/interrupt.h"

namespace berth::hw {

class Msi {
 public:
  static constexpr unsigned kMaxVectors = 32;

  struct Shape {
    unsigned vectors = 1;  // A power of two, at most kMaxVectors.
    bool is_64bit = true;
    bool maskable = false;
    // Of the capability: 10, 14, 20 or 24 bytes.
    unsigned size() const { return (is_64bit ? 14 : 10) + (maskable ? 10 : 0); }
  };

  static Result<std::unique_ptr<Msi>> Create(InterruptController* controller, const Shape& shape);

  // Registers by their offset in the capability, from 2 on (before is its id and link); what is not there
  // reads as 0.
  uint32_t Read(unsigned offset, unsigned size) const;
  void Write(unsigned offset, unsigned size, uint32_t value);

  const Shape& shape() const { return shape_; }
  bool enabled() const;
  // How many vectors the guest lets the device use: a power of two.
  unsigned active() const;
  // The vector's eventfd owner; valid as long as this. nullptr if there is no such vector.
  MsiVector* vector(unsigned index) { return index < vectors_.size() ? vectors_[index].get() : nullptr; }
  // Disabled, registers zero, nothing pending.
  void Reset();

 private:
  explicit Msi(const Shape& shape) : shape_(shape) {}
  template <typename T>
  T Get(unsigned offset) const;
  unsigned DataOffset() const { return shape_.is_64bit ? 12 : 8; }
  unsigned MaskOffset() const { return shape_.is_64bit ? 16 : 12; }
  // The bits of the byte at `offset` that the guest may write.
  uint8_t Writable(unsigned offset) const;
  uint32_t Pending() const;
  MsiMessage MessageOf(unsigned index) const;
  void Apply();

  const Shape shape_;
  std::array<uint8_t, 24> registers_{};
  std::vector<std::unique_ptr<MsiVector>> vectors_;
};

}  // namespace berth::hw
