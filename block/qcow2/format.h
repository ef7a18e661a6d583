// Numbers of the qcow2 format: bits, masks, limits. "qcow2" means the published specification.
#pragma once

#include <cstdint>

namespace berth::block::qcow2 {

inline constexpr uint32_t kMagic = 0x514649fb;  // "QFI\xfb"
inline constexpr uint32_t kVersion2HeaderBytes = 72, kVersion3HeaderBytes = 104;
inline constexpr uint32_t kMinClusterBits = 9, kMaxClusterBits = 21;
inline constexpr uint32_t kMinExtendedClusterBits = 14;
inline constexpr uint64_t kMaxL1Bytes = 32u << 20;
inline constexpr uint64_t kMaxRefcountTableBytes = 8u << 20;
inline constexpr uint32_t kMaxBackingNameBytes = 1023;
inline constexpr uint32_t kMaxSnapshots = 65536;
inline constexpr int kMaxExtensions = 64;
inline constexpr uint64_t kMaxHostOffset = uint64_t{1} << 56;

inline constexpr uint64_t kMaxBitmaps = 65535;
inline constexpr uint64_t kMaxBitmapDirectoryBytes = 64u << 20;
inline constexpr uint64_t kMaxBitmapTableBytes = 256u << 20;  // Of all together.

// Header extensions.
inline constexpr uint32_t kExtensionEnd = 0, kExtensionBackingFormat = 0xe2792aca,
                          kExtensionFeatureNames = 0x6803f857, kExtensionDataFile = 0x44415441,
                          kExtensionBitmaps = 0x23852875, kExtensionEncryption = 0x0537be77;

// Incompatible features.
inline constexpr uint64_t kDirty = 1, kCorrupt = 2, kExternalData = 4, kCompressionType = 8, kExtendedL2 = 16;
inline constexpr uint64_t kKnownIncompatible = 31;
// Compatible.
inline constexpr uint64_t kLazyRefcounts = 1;
// Autoclear.
inline constexpr uint64_t kBitmapsConsistent = 1, kRawExternalData = 2;

// Table entries.
inline constexpr uint64_t kOffsetMask = 0x00fffffffffffe00;
inline constexpr uint64_t kCopied = uint64_t{1} << 63;
inline constexpr uint64_t kCompressedFlag = uint64_t{1} << 62;
inline constexpr uint64_t kZero = 1;
inline constexpr uint64_t kL1Reserved = 0x7f000000000001ff;
inline constexpr uint64_t kL2Reserved = 0x3f000000000001fe;
inline constexpr uint64_t kRefcountTableReserved = 0x1ff;

inline constexpr uint32_t kSubclusters = 32;   // Of a cluster with an extended L2 entry.
inline constexpr uint64_t kSectorBytes = 512;  // What compressed data is counted in.

enum class Compression : uint8_t { kZlib = 0, kZstd = 1 };

}  // namespace berth::block::qcow2
