// Numbers of vhdx ("VHDX Image Format Specification" 1.00, [MS-VHDX]). All little-endian.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "block/guid.h"

namespace berth::block::vhdx {

inline constexpr std::string_view kFileSignature = "vhdxfile";
inline constexpr uint32_t kHeadSignature = 0x64616568, kRegionSignature = 0x69676572;
inline constexpr std::string_view kMetadataSignature = "metadata";
inline constexpr uint32_t kLogSignature = 0x65676f6c, kDataDescriptor = 0x63736564,
                          kZeroDescriptor = 0x6f72657a, kDataSector = 0x61746164;

inline constexpr uint64_t kHeaderOffsets[] = {64 * kKiB, 128 * kKiB},
                          kRegionOffsets[] = {192 * kKiB, 256 * kKiB};
inline constexpr uint64_t kHeaderBytes = 4096, kRegionTableBytes = 64 * kKiB, kMetadataTableBytes = 64 * kKiB;
inline constexpr uint64_t kUnit = kMiB;  // Regions and blocks begin at multiples of it.
inline constexpr uint64_t kLogSectorBytes = 4096, kLogHeaderBytes = 64, kDescriptorBytes = 32;
inline constexpr uint32_t kMaxRegions = 2047, kMaxMetadataItems = 2047;
inline constexpr uint64_t kMaxLogBytes = 256 * kMiB;
inline constexpr uint64_t kMinBlockBytes = kMiB, kMaxBlockBytes = 256 * kMiB;
inline constexpr uint64_t kMaxDiskBytes = 64 * 1024 * kGiB;

// A guid as its text has it, in the byte order of the disk.
constexpr Guid MakeGuid(uint32_t a, uint16_t b, uint16_t c, std::array<uint8_t, 8> d) {
  Guid guid{};
  for (unsigned i = 0; i < 4; ++i) guid[i] = static_cast<uint8_t>(a >> (8 * i));
  for (unsigned i = 0; i < 2; ++i) guid[4 + i] = static_cast<uint8_t>(b >> (8 * i));
  for (unsigned i = 0; i < 2; ++i) guid[6 + i] = static_cast<uint8_t>(c >> (8 * i));
  for (unsigned i = 0; i < 8; ++i) guid[8 + i] = d[i];
  return guid;
}
inline constexpr Guid kTableRegion =
    MakeGuid(0x2dc27766, 0xf623, 0x4200, {0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08});
inline constexpr Guid kMetadataRegion =
    MakeGuid(0x8b7ca206, 0x4790, 0x4b9a, {0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e});
inline constexpr Guid kFileParameters =
    MakeGuid(0xcaa16737, 0xfa36, 0x4d43, {0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b});
inline constexpr Guid kDiskSize =
    MakeGuid(0x2fa54224, 0xcd1b, 0x4876, {0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8});
inline constexpr Guid kPage83 =
    MakeGuid(0xbeca12ab, 0xb2e6, 0x4523, {0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46});
inline constexpr Guid kPhysicalSector =
    MakeGuid(0xcda348c7, 0x445d, 0x4471, {0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56});
inline constexpr Guid kLogicalSector =
    MakeGuid(0x8141bf1d, 0xa96f, 0x4709, {0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f});

// States of payload blocks, the low bits of their entries.
inline constexpr uint64_t kStateMask = 7, kNotPresent = 0, kUndefined = 1, kZero = 2, kUnmapped = 3,
                          kPresent = 6, kPartlyPresent = 7;
inline constexpr uint64_t kOffsetMask = ~uint64_t{0xfffff};

// Of everything that has a checksum: CRC-32C with the four bytes at `place` as zeroes.
uint32_t Checksum(std::span<const uint8_t> bytes, size_t place);

}  // namespace berth::block::vhdx
