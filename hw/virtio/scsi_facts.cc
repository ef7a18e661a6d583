#include "hw/virtio/scsi_facts.h"

#include <algorithm>

#include "base/bytes.h"
#include "hw/virtio/block_config.h"
#include "hw/virtio/scsi_cdb.h"

namespace berth::hw {
namespace {

// MMC-6: of everything that a CD-ROM or DVD drive reads.
constexpr uint32_t kCdRomBlockBytes = 2048;

}  // namespace

uint8_t ScsiFacts::command_sets() const {
  if (kind == ScsiUnitKind::kCdRom) return kCdRomCommands;
  return static_cast<uint8_t>(kDiskCommands | (thin ? kThinDiskCommands : 0));
}

uint64_t MaxRangeBlocks(const ScsiFacts& facts) {
  return uint64_t{kMaxRangeSectors} * kSectorSize / facts.block_size_bytes;
}

// What is told of a disk is what virtio-blk tells of it.
Result<ScsiFacts> DescribeScsiUnit(const ScsiUnitOptions& options, uint64_t size_bytes,
                                   const block::Limits& limits) {
  const bool is_disk = options.kind == ScsiUnitKind::kDisk;
  const VirtioBlockOptions same{
      .serial = options.serial,
      .read_only = options.read_only || !is_disk,
      .discard = options.discard,
      .write_through = options.write_through,
      .logical_block_size_bytes = is_disk ? options.logical_block_size_bytes : kCdRomBlockBytes,
      .physical_block_size_bytes = is_disk ? options.physical_block_size_bytes : kCdRomBlockBytes};
  const BlockDescription block = TRY(DescribeBlock(same, size_bytes, limits));
  const BlockConfig& config = block.config;
  ScsiFacts facts{.kind = options.kind,
                  .identification = options.serial.empty() ? options.name : options.serial,
                  .serial = options.serial,
                  .blocks = config.capacity * kSectorSize / config.blk_size,
                  .block_size_bytes = config.blk_size,
                  .physical_block_exponent = config.physical_block_exp,
                  .optimal_io_blocks = config.opt_io_size,
                  .read_only = (block.features & kBlockReadOnly) != 0,
                  .thin = (block.features & kBlockDiscard) != 0};
  facts.write_cache = !facts.read_only && config.writeback != 0;
  if (facts.thin) {
    facts.discard_granularity_blocks =
        std::max(config.discard_sector_alignment * kSectorSize / config.blk_size, 1u);
  }
  if (facts.blocks == 0) {
    return Fail(Code::kInvalidArgument, "{} bytes are no block of {}", size_bytes, config.blk_size);
  }
  return facts;
}

}  // namespace berth::hw
