// The header of a sparse extent (VMware's Virtual Disk Format 5.0, "Hosted Sparse Extent Header" and
// "Stream-Optimized Compressed Sparse Extents"; "ESX Server Sparse Extents" for those that begin with COWD).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/error.h"
#include "block/image.h"

namespace berth::block::vmdk {

inline constexpr uint64_t kSectorBytes = 512;
inline constexpr uint32_t kMagic = 0x564d444b;      // "KDMV" on the disk.
inline constexpr uint32_t kCowdMagic = 0x44574f43;  // "COWD"
inline constexpr uint32_t kNewlineTest = 1, kRedundantTables = 2, kZeroedGrains = 4, kCompressed = 1 << 16,
                          kMarkers = 1 << 17;
inline constexpr uint64_t kTablesAtEnd = UINT64_MAX;  // The directory's offset is in the footer.
inline constexpr uint16_t kDeflate = 1;
inline constexpr uint32_t kEntriesPerTable = 512;
inline constexpr uint64_t kDescriptorSector = 1, kDescriptorSectors = 20;
inline constexpr uint64_t kGrainSectors = 128;

// Types of metadata markers.
inline constexpr uint32_t kMarkerEnd = 0, kMarkerTable = 1, kMarkerDirectory = 2, kMarkerFooter = 3;
inline constexpr uint64_t kGrainMarkerBytes = 12;

// What a hostile image may ask for at most.
inline constexpr uint64_t kMaxGrainSectors = 0x200000;       // 1 GiB
inline constexpr uint64_t kMaxDirectoryEntries = 32u << 20;  // 2 PiB in grains of 64 KiB and tables of 512.
inline constexpr uint64_t kMaxPackedGrainBytes = 64u << 20;

struct SparseHeader {
  uint32_t version = 1;
  uint32_t flags = kNewlineTest;
  uint64_t capacity_sectors = 0;
  uint64_t grain_sectors = kGrainSectors;
  uint64_t descriptor_sector = kDescriptorSector;
  uint64_t descriptor_sectors = kDescriptorSectors;
  uint32_t entries_per_table = kEntriesPerTable;
  uint64_t redundant_directory_sector = 0;
  uint64_t directory_sector = 0;
  uint64_t overhead_sectors = 0;
  uint16_t compression = 0;
  bool is_cowd = false;

  bool compressed() const { return compression == kDeflate; }
  uint64_t tables() const {
    const uint64_t covered = entries_per_table * grain_sectors;
    return (capacity_sectors + covered - 1) / covered;
  }
};

// Reads the header, and the footer where it refers to it. With a capacity of 0 the file holds a descriptor of
// other extents.
Result<SparseHeader> ReadSparseHeader(Image* file);
std::array<uint8_t, kSectorBytes> EncodeSparseHeader(const SparseHeader& header);

}  // namespace berth::block::vmdk
