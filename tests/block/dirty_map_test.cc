#include "block/dirty_map.h"

#include <gtest/gtest.h>

namespace berth::block {
namespace {

constexpr uint64_t kPart = DirtyMap::kMinPartBytes;

TEST(DirtyMapTest, WhatIsMarkedIsTakenOnceInWholeParts) {
  DirtyMap map(1000 * kPart + 1);
  map.Mark(kPart + 5, 1);
  map.Mark(2 * kPart, 3 * kPart);
  map.Mark(900 * kPart, 0);
  map.Mark(1000 * kPart, 1);
  EXPECT_EQ(map.marked_bytes(), 5 * kPart);

  EXPECT_EQ(map.Take(0, 1 << 20), (Range{kPart, 4 * kPart}));
  EXPECT_EQ(map.Take(0, 1 << 20), (Range{1000 * kPart, 1})) << "it ends with the disk";
  EXPECT_EQ(map.Take(0, 1 << 20), std::nullopt);
  EXPECT_EQ(map.marked_bytes(), 0u);
}

TEST(DirtyMapTest, TakesNoMoreThanItIsAskedForAndNothingBefore) {
  DirtyMap map(1 << 20);
  map.Mark(0, 1 << 20);
  EXPECT_EQ(map.Take(64 * kPart, 100 * kPart), (Range{64 * kPart, 100 * kPart}));
  EXPECT_EQ(map.Take(64 * kPart, 1), (Range{164 * kPart, kPart})) << "a part at least";
  EXPECT_EQ(map.Take(255 * kPart, 100 * kPart), (Range{255 * kPart, kPart}));
  EXPECT_EQ(map.Take(255 * kPart, 100 * kPart), std::nullopt);
  map.Mark(64 * kPart, kPart);
  EXPECT_EQ(map.Take(0, 1 << 20), (Range{0, 65 * kPart})) << "marked again";
}

TEST(DirtyMapTest, ALargeDiskHasLargerParts) {
  constexpr uint64_t kSize = uint64_t{1} << 56;
  DirtyMap map(kSize);
  map.Mark(kSize - 512, 512);
  map.Mark(kSize - 512, UINT64_MAX);
  map.Mark(kSize, 512);
  const auto last = map.Take(0, 1);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->end(), kSize);
  EXPECT_LE(kSize / last->size, DirtyMap::kMaxParts);
  map.Mark(0, kSize);
  EXPECT_EQ(map.marked_bytes(), kSize);
}

}  // namespace
}  // namespace berth::block
