#include "vfio/monitor.h"

#include <linux/vfio.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "vfio/device_region.h"

namespace berth::vfio {
namespace {

constexpr MonitorSize kUsual = {1280, 800};
// Devices may have regions beyond those that they count.
constexpr uint32_t kMaxRegions = 32;

Result<std::optional<RegionInfo>> FindEdidRegion(const Device& device) {
  for (uint32_t index = VFIO_PCI_NUM_REGIONS; index < kMaxRegions; ++index) {
    RegionInfo region = TRY(device.Region(index));
    const bool edid = region.type && region.type->type == VFIO_REGION_TYPE_GFX &&
                      region.type->subtype == VFIO_REGION_SUBTYPE_GFX_EDID;
    if (edid) return region;
    if (region.size == 0 && index >= device.region_count()) break;
  }
  return std::nullopt;
}

// 0 is no limit.
uint32_t Limit(uint32_t device, uint32_t ours) { return device == 0 ? ours : std::min(device, ours); }

Result<MonitorSize> Choose(const Device& device, const vfio_region_gfx_edid& head,
                           const std::optional<MonitorSize>& wanted) {
  const MonitorSize most = {Limit(head.max_xres, kMaxMonitor.width),
                            Limit(head.max_yres, kMaxMonitor.height)};
  const MonitorSize size =
      wanted ? *wanted
             : MonitorSize{std::min(kUsual.width, most.width), std::min(kUsual.height, most.height)};
  if (size.width <= most.width && size.height <= most.height && size.width >= kMinMonitor.width &&
      size.height >= kMinMonitor.height) {
    return size;
  }
  return Fail(Error(Code::kFailedPrecondition,
                    fmt::format("the display of {} can have {}x{} pixels at most, not {}x{}", device.name(),
                                most.width, most.height, size.width, size.height))
                  .Reason("MONITOR_TOO_LARGE"));
}

}  // namespace

Status ConnectMonitor(const Device& device, const std::optional<MonitorSize>& wanted) {
  std::optional<RegionInfo> info = TRY(FindEdidRegion(device));
  if (!info) {
    if (!wanted) return Ok();
    return Fail(
        Error(Code::kFailedPrecondition, fmt::format("{} has no display that takes a monitor", device.name()))
            .Reason("NO_MONITOR"));
  }
  DeviceRegion region(&device, *std::move(info));
  vfio_region_gfx_edid head;
  std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(&head), sizeof(head));
  // The registers are read, and written, one by one.
  for (size_t at = 0; at < bytes.size(); at += 4) {
    StoreLe<uint32_t>(&bytes[at], static_cast<uint32_t>(region.Read(at, 4)));
  }
  if (region.failures() != 0 || head.edid_max_size < kEdidBytes ||
      !Range{0, region.info().size}.Contains(head.edid_offset, kEdidBytes)) {
    return Fail(Code::kInternal, "{} has no room for a monitor's description where it says", device.name());
  }
  const auto edid = MakeEdid(TRY(Choose(device, head, wanted)));
  // In this order: <linux/vfio.h>.
  region.Write(offsetof(vfio_region_gfx_edid, link_state), 4, VFIO_DEVICE_GFX_LINK_STATE_DOWN);
  for (size_t at = 0; at < edid.size(); at += 4) {
    region.Write(head.edid_offset + at, 4, LoadLe<uint32_t>(&edid[at]));
  }
  region.Write(offsetof(vfio_region_gfx_edid, edid_size), 4, edid.size());
  region.Write(offsetof(vfio_region_gfx_edid, link_state), 4, VFIO_DEVICE_GFX_LINK_STATE_UP);
  if (region.failures() == 0) return Ok();
  return Fail(Code::kInternal, "{} does not take a monitor's description", device.name());
}

}  // namespace berth::vfio
