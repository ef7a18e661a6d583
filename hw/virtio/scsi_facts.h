// What a logical unit is, as its commands tell the guest. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "block/node.h"
#include "hw/virtio/scsi.h"

namespace berth::hw {

struct ScsiFacts {
  ScsiUnitKind kind = ScsiUnitKind::kDisk;
  std::string identification;  // The serial number, or else the unit's name.
  std::string serial;
  uint64_t blocks = 0;
  uint32_t block_size_bytes = 512;
  uint8_t physical_block_exponent = 0;  // Blocks in a physical one: 2 to the power of it.
  uint32_t optimal_io_blocks = 0;       // 0 for no preference.
  uint32_t discard_granularity_blocks = 1;
  bool read_only = false;
  bool thin = false;         // UNMAP, and WRITE SAME that may unmap.
  bool write_cache = false;  // A write is durable only after SYNCHRONIZE CACHE.

  uint8_t command_sets() const;
};

// Of UNMAP and WRITE SAME: blocks of one command (2 GiB of them), and descriptors.
uint64_t MaxRangeBlocks(const ScsiFacts& facts);
inline constexpr uint32_t kMaxUnmapDescriptors = 256;

// INVALID_ARGUMENT for options that make no unit, and for a disk without a whole block.
Result<ScsiFacts> DescribeScsiUnit(const ScsiUnitOptions& options, uint64_t size_bytes,
                                   const block::Limits& limits);

}  // namespace berth::hw
