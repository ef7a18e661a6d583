// One BAR of an assigned function as the guest sees it: mapped parts of the device's memory over accesses
// that trap, and on top the MSI-X structures, if they are in it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hw/memory/region.h"
#include "vfio/bar_plan.h"
#include "vfio/device_region.h"

namespace berth::vfio {

class FunctionBar {
 public:
  // `device` outlives this. `info` has size 0 for a BAR that only holds MSI-X structures. What cannot be
  // mapped is logged and traps; FAILED_PRECONDITION if the host has not placed the BAR at all.
  static Result<std::unique_ptr<FunctionBar>> Create(const Device* device, const BarPlan& plan,
                                                     RegionInfo info);
  FunctionBar(const FunctionBar&) = delete;

  const hw::BarRequest& request() const { return request_; }
  // What goes where the guest puts the BAR.
  hw::Region* region() { return &container_; }
  // Shows `handler` (which outlives this) at these bytes, over whatever is there. Before the region is in an
  // address space.
  void PutOnTop(const char* what, uint64_t offset, uint64_t size, hw::IoHandler* handler);
  // Takes what is mapped from the guest's sight, so that every access traps, or shows it again. Within a
  // transaction of the address space, if the region is in one.
  void SetMapped(bool mapped);
  DeviceRegion* device_region() { return &device_region_; }

 private:
  // A part of the BAR, told its accesses by their offset in the whole.
  class Part final : public hw::IoHandler {
   public:
    Part(hw::IoHandler* whole, uint64_t offset) : whole_(whole), offset_(offset) {}
    uint64_t Read(uint64_t offset, unsigned size) override { return whole_->Read(offset_ + offset, size); }
    void Write(uint64_t offset, unsigned size, uint64_t value) override {
      whole_->Write(offset_ + offset, size, value);
    }

   private:
    hw::IoHandler* const whole_;
    const uint64_t offset_;
  };

  FunctionBar(const Device* device, const hw::BarRequest& request, RegionInfo info);
  void Show(const Range& range);

  const std::string name_;
  const hw::BarRequest request_;
  DeviceRegion device_region_;
  std::vector<std::unique_ptr<Part>> parts_;
  hw::Region container_;
  hw::Region trapped_;
  std::vector<std::unique_ptr<hw::Region>> pieces_;
  std::vector<std::pair<uint64_t, hw::Region*>> mapped_pieces_;  // By their offsets.
};

}  // namespace berth::vfio
