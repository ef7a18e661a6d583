// Putting an assigned device back to its state after power-on, by the gentlest way it has.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "vfio/device.h"
#include "vfio/device_region.h"
#include "vfio/reset_neighbours.h"

namespace berth::vfio {

struct ResetMeans {
  std::optional<uint16_t> power_capability;
  bool skip = false;  // A reset kills this device: it is only made quiet.
  const ResetNeighbours* neighbours = nullptr;
};

// Interrupts are off and BARs unmapped. Wakes the device (D0), takes its decoding and bus mastering away,
// then resets it: the function alone, or its bus or slot if it is alone there, or if all that are there are
// its neighbours and quiet. Returns how: "function", "bus", "later" (with the last of its neighbours) or
// "none". INTERNAL if the device does not come back.
Result<std::string_view> ResetDevice(const Device& device, DeviceRegion* config, const ResetMeans& means);

// Whether it answers: a device that has fallen off its bus reads as ones. A VF's identity is the kernel's, so
// its class is asked for as well.
bool IsThere(DeviceRegion* config);

}  // namespace berth::vfio
