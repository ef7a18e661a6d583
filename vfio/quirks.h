// What is known of single devices and cannot be found out by asking them.
#pragma once

#include <cstdint>

namespace berth::vfio {

struct Quirks {
  // Reading the ROM hangs the device.
  bool no_rom = false;
};

Quirks QuirksOf(uint16_t vendor_id, uint16_t device_id);

}  // namespace berth::vfio
