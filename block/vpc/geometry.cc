#include <algorithm>

#include "base/bytes.h"
#include "block/vpc/format.h"

namespace berth::block::vpc {

Geometry GeometryOf(uint64_t sectors) {
  sectors = std::min(sectors, kMaxGeometrySectors);
  uint64_t per_track = kMaxSectorsPerTrack, heads = kMaxHeads, tracks = sectors / kMaxSectorsPerTrack;
  if (sectors < kMaxCylinders * kMaxHeads * 63) {
    per_track = 17;
    tracks = sectors / per_track;
    heads = std::max<uint64_t>((tracks + 1023) / 1024, 4);
    if (tracks >= heads * 1024 || heads > kMaxHeads) {
      per_track = 31;
      heads = kMaxHeads;
      tracks = sectors / per_track;
    }
    if (tracks >= heads * 1024) {
      per_track = 63;
      heads = kMaxHeads;
      tracks = sectors / per_track;
    }
  }
  return {static_cast<uint16_t>(tracks / heads), static_cast<uint8_t>(heads),
          static_cast<uint8_t>(per_track)};
}

Geometry GeometryFor(uint64_t sectors) {
  const uint64_t wanted = std::min(sectors, kMaxGeometrySectors);
  Geometry geometry;
  for (uint64_t more = 0; geometry.sectors() < wanted; ++more) geometry = GeometryOf(wanted + more);
  return geometry;
}

uint32_t Checksum(std::span<const uint8_t> bytes, size_t place) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i < place || i >= place + 4) sum += bytes[i];
  }
  return ~sum;
}

}  // namespace berth::block::vpc
