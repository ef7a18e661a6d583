// What a monitor says of itself, for displays that no monitor is connected to: VESA E-EDID 1.4, the base
// block. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace berth::vfio {

inline constexpr size_t kEdidBytes = 128;

struct MonitorSize {
  uint32_t width = 0, height = 0;  // Pixels.
};
// What the preferred mode can be at 60 Hz.
inline constexpr MonitorSize kMinMonitor = {640, 480}, kMaxMonitor = {3840, 2400};

// A monitor that prefers these pixels at 60 Hz, within the limits, with the timing of VESA CVT 1.2, reduced
// blanking.
std::array<uint8_t, kEdidBytes> MakeEdid(const MonitorSize& preferred);

}  // namespace berth::vfio
