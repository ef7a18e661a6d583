#include "hw/virtio/block_config.h"

#include <gtest/gtest.h>

namespace berth::hw {
namespace {

TEST(DescribeBlock, TakesTheNodesBlocks) {
  const block::Limits limits{.block_size_bytes = 4096,
                             .memory_alignment_bytes = 512,
                             .physical_block_size_bytes = 16384,
                             .optimal_io_size_bytes = 65536,
                             .discard_granularity_bytes = 8192};
  const auto block = DescribeBlock({}, 1'000'000, limits);
  ASSERT_TRUE(block);
  EXPECT_EQ(block->config.capacity, 1'000'000 / 4096 * 8u);
  EXPECT_EQ(block->config.blk_size, 4096u);
  EXPECT_EQ(block->config.physical_block_exp, 2);
  EXPECT_EQ(block->config.min_io_size, 4);
  EXPECT_EQ(block->config.opt_io_size, 16u);
  EXPECT_EQ(block->config.discard_sector_alignment, 16u);
}

TEST(DescribeBlock, OptionsGoBeforeWhatTheNodeSays) {
  const block::Limits limits{.block_size_bytes = 512, .physical_block_size_bytes = 512};
  const auto block = DescribeBlock({.queue_size = 128,
                                    .logical_block_size_bytes = 4096,
                                    .physical_block_size_bytes = 8192,
                                    .max_segments = 7,
                                    .max_segment_size_bytes = 65536},
                                   1 << 20, limits);
  ASSERT_TRUE(block);
  EXPECT_EQ(block->config.blk_size, 4096u);
  EXPECT_EQ(block->config.physical_block_exp, 1);
  EXPECT_EQ(block->config.seg_max, 7u);
  EXPECT_EQ(block->config.size_max, 65536u);
  EXPECT_TRUE(block->features & kBlockSizeMax);
}

TEST(DescribeBlock, AReadOnlyDiskOffersNothingThatWrites) {
  block::Limits limits;
  limits.read_only = true;
  const auto block = DescribeBlock({}, 1 << 20, limits);
  EXPECT_TRUE(block->features & kBlockReadOnly);
  EXPECT_FALSE(block->features & (kBlockDiscard | kBlockWriteZeroes));
  EXPECT_EQ(block->config.max_discard_sectors, 0u);
}

TEST(DescribeBlock, WithoutDiscardZeroesKeepTheirBlocks) {
  const auto block = DescribeBlock({.discard = false}, 1 << 20, {});
  EXPECT_FALSE(block->features & kBlockDiscard);
  EXPECT_TRUE(block->features & kBlockWriteZeroes);
  EXPECT_EQ(block->config.write_zeroes_may_unmap, 0);
}

TEST(DescribeBlock, OptionsThatMakeNoDiskAreRefused) {
  const VirtioBlockOptions wrong[] = {
      {.serial = "more than twenty bytes"},
      {.queues = 0},
      {.queues = kMaxBlockQueues + 1},
      {.queue_size = 100},
      {.queue_size = 2},
      {.logical_block_size_bytes = 256},
      {.logical_block_size_bytes = 1000},
      {.physical_block_size_bytes = 1 << 20},
      {.max_segments = kMaxChainLength},
  };
  for (const VirtioBlockOptions& options : wrong) {
    const auto block = DescribeBlock(options, 1 << 20, {});
    ASSERT_FALSE(block);
    EXPECT_EQ(block.error().code(), Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace berth::hw
