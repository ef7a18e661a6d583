// What virtio-blk tells of the disk: feature bits (VIRTIO 1.2 section 5.2.3) and configuration (5.2.4). Pure.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "block/node.h"
#include "hw/virtio/block.h"

namespace berth::hw {

inline constexpr uint64_t kBlockSizeMax = 1ull << 1, kBlockSegMax = 1ull << 2, kBlockReadOnly = 1ull << 5,
                          kBlockBlockSize = 1ull << 6, kBlockFlush = 1ull << 9, kBlockTopology = 1ull << 10,
                          kBlockConfigWce = 1ull << 11, kBlockMultiQueue = 1ull << 12,
                          kBlockDiscard = 1ull << 13, kBlockWriteZeroes = 1ull << 14;

// The protocol's unit, whatever the block size.
inline constexpr uint32_t kSectorSize = 512;
// Of discard and write zeroes: segments of one request, and sectors of one segment (2 GiB).
inline constexpr uint32_t kMaxRangeSegments = 16;
inline constexpr uint32_t kMaxRangeSectors = 4 * 1024 * 1024;

struct [[gnu::packed]] BlockConfig {
  uint64_t capacity = 0;  // In sectors.
  uint32_t size_max = 0;
  uint32_t seg_max = 0;
  uint16_t cylinders = 0;
  uint8_t heads = 0;
  uint8_t sectors = 0;
  uint32_t blk_size = 0;
  uint8_t physical_block_exp = 0;
  uint8_t alignment_offset = 0;
  uint16_t min_io_size = 0;  // In blocks, as is the next.
  uint32_t opt_io_size = 0;
  uint8_t writeback = 0;
  uint8_t unused0 = 0;
  uint16_t num_queues = 0;
  uint32_t max_discard_sectors = 0;
  uint32_t max_discard_seg = 0;
  uint32_t discard_sector_alignment = 0;
  uint32_t max_write_zeroes_sectors = 0;
  uint32_t max_write_zeroes_seg = 0;
  uint8_t write_zeroes_may_unmap = 0;
  uint8_t unused1[3] = {};
};
static_assert(offsetof(BlockConfig, writeback) == 32 && offsetof(BlockConfig, max_discard_sectors) == 36 &&
              sizeof(BlockConfig) == 60);

struct BlockDescription {
  uint64_t features = 0;
  BlockConfig config;  // `writeback` as it is after a reset.
};

Result<BlockDescription> DescribeBlock(const VirtioBlockOptions& options, uint64_t size_bytes,
                                       const block::Limits& limits);

}  // namespace berth::hw
