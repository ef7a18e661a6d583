// The expansion ROM of an assigned function: read from the device once, when the guest first looks. PCI Local
// Bus 3.0, 6.3.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "hw/memory/region.h"
#include "vfio/device_region.h"

namespace berth::vfio {

// Makes the images of a ROM name this device (they may name a sibling that shares the ROM) and sum up to
// zero. What is no ROM stays as it is. Pure.
void FixRom(std::span<uint8_t> rom, uint16_t vendor_id, uint16_t device_id);

// Reads as the ROM; writes are dropped. Any thread.
class RomImage final : public hw::IoHandler {
 public:
  // Reads the ROM from `region` (which outlives this), whose memory decoding is on by the time the guest can
  // look.
  RomImage(DeviceRegion* region, uint16_t vendor_id, uint16_t device_id)
      : region_(region), vendor_id_(vendor_id), device_id_(device_id) {}
  // Shows these bytes instead.
  explicit RomImage(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)), loaded_(true) {}

  uint64_t Read(uint64_t offset, unsigned size) override;
  void Write(uint64_t, unsigned, uint64_t) override {}

 private:
  DeviceRegion* const region_ = nullptr;
  const uint16_t vendor_id_ = 0, device_id_ = 0;
  Mutex mutex_;
  std::vector<uint8_t> bytes_ GUARDED_BY(mutex_);
  bool loaded_ GUARDED_BY(mutex_) = false;
};

}  // namespace berth::vfio
