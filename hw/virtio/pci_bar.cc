#include "hw/virtio/pci_bar.h"

#include <algorithm>
#include <bit>

#include "base/unique_fd.h"

namespace berth::hw {
namespace {

// Each structure has a page of its own.
constexpr uint32_t kCommonOffset = 0x0000, kIsrOffset = 0x1000, kDeviceOffset = 0x2000,
                   kDoorbellOffset = 0x3000, kMsixOffset = 0x4000, kPage = 0x1000;
static_assert(VirtioBar::kMaxQueues * VirtioBar::kDoorbellStride <= kPage);

class IsrHandler final : public IoHandler {
 public:
  explicit IsrHandler(CommonConfig* common) : common_(*common) {}
  uint64_t Read(uint64_t, unsigned) override { return common_.TakeIsr(); }
  void Write(uint64_t, unsigned, uint64_t) override {}

 private:
  CommonConfig& common_;
};

class DeviceConfigHandler final : public IoHandler {
 public:
  explicit DeviceConfigHandler(CommonConfig* common) : common_(*common) {}
  uint64_t Read(uint64_t offset, unsigned size) override { return common_.ReadDevice(offset, size); }
  void Write(uint64_t offset, unsigned size, uint64_t value) override {
    common_.WriteDevice(offset, size, value);
  }

 private:
  CommonConfig& common_;
};

// Where the hypervisor has no ioeventfd for a doorbell, or the driver rings through configuration space.
class DoorbellHandler final : public IoHandler {
 public:
  explicit DoorbellHandler(CommonConfig* common) : common_(*common) {}
  uint64_t Read(uint64_t, unsigned) override { return 0; }
  void Write(uint64_t offset, unsigned, uint64_t) override {
    const uint64_t queue = offset / VirtioBar::kDoorbellStride;
    if (offset % VirtioBar::kDoorbellStride != 0 || queue >= common_.queue_count()) return;
    SignalEventFd(common_.doorbell(static_cast<unsigned>(queue)));
  }

 private:
  CommonConfig& common_;
};

}  // namespace

VirtioBar::VirtioBar(const std::string& name, CommonConfig* common, Msix* msix)
    : common_(*common),
      isr_handler_(std::make_unique<IsrHandler>(common)),
      device_handler_(std::make_unique<DeviceConfigHandler>(common)),
      doorbell_handler_(std::make_unique<DoorbellHandler>(common)),
      pba_offset_(static_cast<uint32_t>(AlignUp(kMsixOffset + msix->table_size(), kPage))),
      bar_(Region::Container(name, std::bit_ceil(pba_offset_ + msix->pba_size()))),
      common_region_(Region::Io(name + " common", CommonConfig::kSize, common)),
      isr_region_(Region::Io(name + " isr", 1, isr_handler_.get())),
      device_region_(Region::Io(name + " config", kPage, device_handler_.get())),
      doorbell_region_(Region::Io(name + " doorbells", doorbells_size(), doorbell_handler_.get())),
      table_region_(Region::Io(name + " msix table", msix->table_size(), msix->table_handler())),
      pba_region_(Region::Io(name + " msix pba", msix->pba_size(), msix->pba_handler())) {
  bar_.Add(&common_region_, kCommonOffset);
  bar_.Add(&isr_region_, kIsrOffset);
  bar_.Add(&device_region_, kDeviceOffset);
  bar_.Add(&doorbell_region_, kDoorbellOffset);
  bar_.Add(&table_region_, kMsixOffset);
  bar_.Add(&pba_region_, pba_offset_);
  for (unsigned i = 0; i < common->queue_count(); ++i) {
    doorbell_region_.AddIoEvent(
        {.offset = i * kDoorbellStride, .size = 0, .value = {}, .eventfd = common->doorbell(i)});
  }
}

uint32_t VirtioBar::doorbells_size() const { return std::max(common_.queue_count(), 1u) * kDoorbellStride; }

std::vector<VirtioBar::Structure> VirtioBar::structures() const {
  return {{Type::kCommon, kCommonOffset, CommonConfig::kSize},
          {Type::kIsr, kIsrOffset, 1},
          {Type::kDevice, kDeviceOffset, kPage},
          {Type::kNotify, kDoorbellOffset, doorbells_size()}};
}

uint32_t VirtioBar::msix_table_offset() const { return kMsixOffset; }

VirtioBar::Place VirtioBar::Find(uint64_t offset, unsigned size) const {
  for (const Region* region : bar_.children()) {
    const Range range{region->offset_in_parent(), region->size()};
    if (range.Contains(offset, size)) return {region->handler(), offset - range.start};
  }
  return {};
}

std::optional<uint64_t> VirtioBar::Read(uint64_t offset, unsigned size) {
  const Place place = Find(offset, size);
  if (place.handler == nullptr) return std::nullopt;
  return place.handler->Read(place.offset, size);
}

void VirtioBar::Write(uint64_t offset, unsigned size, uint64_t value) {
  const Place place = Find(offset, size);
  if (place.handler != nullptr) place.handler->Write(place.offset, size, value);
}

}  // namespace berth::hw
