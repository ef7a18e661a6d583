// Numbers of vpc, Microsoft's "Virtual Hard Disk Image Format Specification" 1.0 (VHD).
#pragma once

#include <cstdint>
#include <span>

#include "base/error.h"
#include "block/image.h"

namespace berth::block::vpc {

inline constexpr uint64_t kSectorBytes = 512, kFooterBytes = 512, kHeaderBytes = 1024;
inline constexpr uint32_t kFixed = 2, kDynamic = 3;
inline constexpr uint32_t kUnused = 0xffffffff;
// The largest geometry, from which on sizes are told in sectors alone; and 2040 GiB, the largest disk.
inline constexpr uint64_t kMaxCylinders = 65535, kMaxHeads = 16, kMaxSectorsPerTrack = 255;
inline constexpr uint64_t kMaxGeometrySectors = kMaxCylinders * kMaxHeads * kMaxSectorsPerTrack;
inline constexpr uint64_t kMaxSectors = 0xff000000;

struct Geometry {
  uint16_t cylinders = 0;
  uint8_t heads = 0;
  uint8_t sectors_per_track = 0;

  uint64_t sectors() const { return uint64_t{cylinders} * heads * sectors_per_track; }
};
// The specification's appendix, "CHS Calculation".
Geometry GeometryOf(uint64_t sectors);
// The least geometry that the algorithm yields that holds all of the sectors, or the largest.
Geometry GeometryFor(uint64_t sectors);

// The sum of all bytes but the four of the checksum at `place`, inverted.
uint32_t Checksum(std::span<const uint8_t> bytes, size_t place);

}  // namespace berth::block::vpc
