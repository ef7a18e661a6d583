#include "vfio/config_overlay.h"

namespace berth::vfio {

bool ConfigOverlay::Covers(uint16_t offset, unsigned size) const {
  return LoadLeSized(&mask_[offset], size) == AllOnes(size);
}

uint32_t ConfigOverlay::Merge(uint16_t offset, unsigned size, uint32_t from_hardware) const {
  const auto mask = static_cast<uint32_t>(LoadLeSized(&mask_[offset], size));
  const auto value = static_cast<uint32_t>(LoadLeSized(&value_[offset], size));
  return (from_hardware & ~mask) | value;
}

void ConfigOverlay::Write(uint16_t offset, unsigned size, uint32_t value) {
  const uint64_t writable = LoadLeSized(&writable_[offset], size);
  const uint64_t kept = LoadLeSized(&value_[offset], size) & ~writable;
  StoreLeSized(&value_[offset], size, kept | (value & writable));
}

void ConfigOverlay::Reset() {
  for (unsigned i = 0; i < kSize; ++i) value_[i] &= static_cast<uint8_t>(~writable_[i]);
}

}  // namespace berth::vfio
