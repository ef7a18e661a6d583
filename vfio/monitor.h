// The monitor that the display of a mediated device believes to have: VFIO_REGION_SUBTYPE_GFX_EDID of
// <linux/vfio.h>.
#pragma once

#include <optional>

#include "base/error.h"
#include "vfio/device.h"
#include "vfio/edid.h"

namespace berth::vfio {

// Connects a monitor of this size; without one asked for, of 1280x800 or what the device has at most, where
// it takes any. FAILED_PRECONDITION: NO_MONITOR for a device that takes none, MONITOR_TOO_LARGE. INTERNAL for
// a device that contradicts itself.
Status ConnectMonitor(const Device& device, const std::optional<MonitorSize>& wanted);

}  // namespace berth::vfio
