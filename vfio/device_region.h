// One region of a VFIO device (a BAR, the ROM, the configuration space): read and written through its
// descriptor, and parts of it mapped.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "hw/memory/region.h"
#include "vfio/device.h"

namespace berth::vfio {

// Accesses: any thread. Map: before others use it.
class DeviceRegion final : public hw::IoHandler {
 public:
  struct Mapped {
    Range range;  // Within the region.
    uint8_t* address = nullptr;
  };

  // `device` outlives this.
  DeviceRegion(const Device* device, RegionInfo info);
  ~DeviceRegion() override;
  DeviceRegion(const DeviceRegion&) = delete;

  const RegionInfo& info() const { return info_; }

  // Maps these ranges, each as it is: drivers may refuse any but those they offered. What was mapped stays
  // when a later one fails.
  Status Map(const std::vector<Range>& ranges);
  const std::vector<Mapped>& mapped() const { return mapped_; }

  // What the device does not answer reads as ones, is dropped, and counted. `offset` + `size` may lie beyond
  // the region.
  uint64_t Read(uint64_t offset, unsigned size) override;
  void Write(uint64_t offset, unsigned size, uint64_t value) override;
  // A longer run of bytes; the number read, from the start.
  size_t ReadBytes(uint64_t offset, std::span<uint8_t> out);

  // `callback` is called after each access. Before others use it.
  void OnAccess(std::function<void()> callback) { on_access_ = std::move(callback); }

  uint64_t reads() const { return reads_.load(std::memory_order_relaxed); }
  uint64_t writes() const { return writes_.load(std::memory_order_relaxed); }
  uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }

 private:
  const Device* const device_;
  const RegionInfo info_;
  std::vector<Mapped> mapped_;
  std::function<void()> on_access_;
  std::atomic<uint64_t> reads_{0}, writes_{0}, failures_{0};
};

}  // namespace berth::vfio
