#include "hw/pci/msi.h"

#include <algorithm>
#include <bit>

#include "base/bytes.h"
#include "base/log.h"
#include "base/unique_fd.h"

namespace berth::hw {
namespace {

constexpr unsigned kControl = 2, kAddress = 4, kAddressHigh = 8;
constexpr uint16_t kEnable = 1 << 0, kMultipleEnable = 7 << 4, k64Bit = 1 << 7, kMaskable = 1 << 8;
constexpr unsigned kMultipleCapableShift = 1, kMultipleEnableShift = 4;

}  // namespace

Result<std::unique_ptr<Msi>> Msi::Create(InterruptController* controller, const Shape& shape) {
  CHECK(IsPowerOfTwo(shape.vectors) && shape.vectors <= kMaxVectors);
  std::unique_ptr<Msi> msi(new Msi(shape));
  for (unsigned i = 0; i < shape.vectors; ++i) {
    msi->vectors_.push_back(TRY(Context(controller->CreateMsiVector(), fmt::format("MSI vector {}", i))));
  }
  msi->Reset();
  return msi;
}

template <typename T>
T Msi::Get(unsigned offset) const {
  return LoadLe<T>(&registers_[offset]);
}

bool Msi::enabled() const { return Get<uint16_t>(kControl) & kEnable; }

unsigned Msi::active() const {
  const unsigned wanted = 1u << ((Get<uint16_t>(kControl) & kMultipleEnable) >> kMultipleEnableShift);
  return std::min(wanted, shape_.vectors);  // More than it is capable of is undefined.
}

uint8_t Msi::Writable(unsigned offset) const {
  if (offset == kControl) return kEnable | kMultipleEnable;
  if (offset == kAddress) return 0xfc;  // Messages are dword-aligned.
  if (offset > kAddress && offset < kAddress + 4) return 0xff;
  if (shape_.is_64bit && offset >= kAddressHigh && offset < kAddressHigh + 4) return 0xff;
  if (offset >= DataOffset() && offset < DataOffset() + 2) return 0xff;
  if (shape_.maskable && offset >= MaskOffset() && offset < MaskOffset() + 4) {
    const auto bits = static_cast<uint32_t>((uint64_t{1} << shape_.vectors) - 1);
    return static_cast<uint8_t>(bits >> (8 * (offset - MaskOffset())));
  }
  return 0;
}

uint32_t Msi::Pending() const {
  uint32_t bits = 0;
  for (unsigned i = 0; i < vectors_.size(); ++i) bits |= vectors_[i]->pending() ? 1u << i : 0;
  return bits;
}

uint32_t Msi::Read(unsigned offset, unsigned size) const {
  std::array<uint8_t, 32> bytes{};
  std::copy(registers_.begin(), registers_.end(), bytes.begin());
  if (shape_.maskable) StoreLe<uint32_t>(&bytes[MaskOffset() + 4], Pending());
  if (offset >= shape_.size()) return 0;
  return static_cast<uint32_t>(LoadLeSized(&bytes[offset], size));
}

void Msi::Write(unsigned offset, unsigned size, uint32_t value) {
  for (unsigned i = 0; i < size && offset + i < shape_.size(); ++i) {
    const uint8_t mask = Writable(offset + i);
    uint8_t& byte = registers_[offset + i];
    byte = static_cast<uint8_t>((byte & ~mask) | (static_cast<uint8_t>(value >> (8 * i)) & mask));
  }
  Apply();
}

MsiMessage Msi::MessageOf(unsigned index) const {
  uint64_t address = Get<uint32_t>(kAddress);
  if (shape_.is_64bit) address |= uint64_t{Get<uint32_t>(kAddressHigh)} << 32;
  // The function puts the number of the vector into the low bits of the data.
  const unsigned low = active() - 1;
  return {address, (Get<uint16_t>(DataOffset()) & ~low) | index};
}

void Msi::Apply() {
  const uint32_t masked = shape_.maskable ? Get<uint32_t>(MaskOffset()) : 0;
  for (unsigned i = 0; i < vectors_.size(); ++i) {
    if (!enabled() || i >= active() || (masked >> i & 1) != 0) {
      vectors_[i]->Mask();
      continue;
    }
    // A vector that the host has no route for stays masked until the guest's next write.
    if (const Status done = vectors_[i]->Unmask(MessageOf(i)); !done) {
      LOG_WARNING_LIMITED("MSI vector {}: {}", i, done.error().message());
    }
  }
}

void Msi::Reset() {
  registers_.fill(0);
  const auto capable = static_cast<uint16_t>(std::countr_zero(shape_.vectors) << kMultipleCapableShift);
  const uint16_t control = capable | (shape_.is_64bit ? k64Bit : 0) | (shape_.maskable ? kMaskable : 0);
  StoreLe<uint16_t>(&registers_[kControl], control);
  Apply();
  for (const auto& vector : vectors_) DrainEventFd(vector->eventfd());
}

}  // namespace berth::hw
