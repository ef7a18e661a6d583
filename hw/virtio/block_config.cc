#include "hw/virtio/block_config.h"

#include <algorithm>
#include <bit>

#include "base/bytes.h"

namespace berth::hw {
namespace {

constexpr uint32_t kMaxBlockSize = 64 * 1024;
constexpr size_t kSerialBytes = 20;

Status CheckBlockSize(const char* name, uint32_t size) {
  if (size == 0 || (IsPowerOfTwo(size) && size >= kSectorSize && size <= kMaxBlockSize)) return Ok();
  return Fail(Code::kInvalidArgument, "a {} block of {} bytes; it is a power of two from {} to {}", name,
              size, kSectorSize, kMaxBlockSize);
}

Status CheckOptions(const VirtioBlockOptions& options) {
  TRY(CheckBlockSize("logical", options.logical_block_size_bytes));
  TRY(CheckBlockSize("physical", options.physical_block_size_bytes));
  if (options.serial.size() > kSerialBytes) {
    return Fail(Code::kInvalidArgument, "a serial of {} bytes; there is room for {}", options.serial.size(),
                kSerialBytes);
  }
  if (options.queues == 0 || options.queues > kMaxBlockQueues) {
    return Fail(Code::kInvalidArgument, "{} queues; there are 1 to {}", options.queues, kMaxBlockQueues);
  }
  if (!IsPowerOfTwo(options.queue_size) || options.queue_size < 4 || options.queue_size > kMaxQueueSize) {
    return Fail(Code::kInvalidArgument, "queues of {} entries; they have a power of two from 4 to {}",
                options.queue_size, kMaxQueueSize);
  }
  // Two descriptors of a request are the header and the status.
  if (options.max_segments > kMaxChainLength - 2) {
    return Fail(Code::kInvalidArgument, "{} segments a request; the most is {}", options.max_segments,
                kMaxChainLength - 2);
  }
  return Ok();
}

}  // namespace

Result<BlockDescription> DescribeBlock(const VirtioBlockOptions& options, uint64_t size_bytes,
                                       const block::Limits& limits) {
  TRY(CheckOptions(options));
  // A node that can do any byte is still a disk of sectors.
  const uint32_t logical = options.logical_block_size_bytes != 0
                               ? options.logical_block_size_bytes
                               : std::max(limits.block_size_bytes, kSectorSize);
  const uint32_t physical = options.physical_block_size_bytes != 0 ? options.physical_block_size_bytes
                                                                   : limits.physical_block_size_bytes;
  const uint32_t optimal =
      options.optimal_io_size_bytes != 0 ? options.optimal_io_size_bytes : limits.optimal_io_size_bytes;
  const bool read_only = options.read_only || limits.read_only;

  BlockDescription block;
  block.features = kBlockSegMax | kBlockBlockSize | kBlockFlush | kBlockTopology | kBlockConfigWce;
  if (options.max_segment_size_bytes != 0) block.features |= kBlockSizeMax;
  if (options.queues > 1) block.features |= kBlockMultiQueue;
  if (read_only) {
    block.features |= kBlockReadOnly;
  } else {
    block.features |= kBlockWriteZeroes;
    if (options.discard) block.features |= kBlockDiscard;
  }

  BlockConfig& config = block.config;
  config.capacity = AlignDown(size_bytes, logical) / kSectorSize;
  config.size_max = options.max_segment_size_bytes;
  config.seg_max = options.max_segments != 0 ? options.max_segments : options.queue_size - 2u;
  config.blk_size = logical;
  config.physical_block_exp =
      static_cast<uint8_t>(std::countr_zero(std::max(physical, logical)) - std::countr_zero(logical));
  config.min_io_size = static_cast<uint16_t>(1u << config.physical_block_exp);
  config.opt_io_size = optimal / logical;
  config.writeback = options.write_through ? 0 : 1;
  config.num_queues = options.queues;
  if (block.features & kBlockDiscard) {
    config.max_discard_sectors = kMaxRangeSectors;
    config.max_discard_seg = kMaxRangeSegments;
    config.discard_sector_alignment = std::max(limits.discard_granularity_bytes, logical) / kSectorSize;
  }
  if (block.features & kBlockWriteZeroes) {
    config.max_write_zeroes_sectors = kMaxRangeSectors;
    config.max_write_zeroes_seg = kMaxRangeSegments;
    config.write_zeroes_may_unmap = options.discard ? 1 : 0;
  }
  return block;
}

}  // namespace berth::hw
