#include "base/bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(Bytes, LoadsAndStoresBothByteOrders) {
  const uint8_t bytes[] = {0x12, 0x34, 0x56, 0x78};
  EXPECT_EQ(LoadLe<uint32_t>(bytes), 0x78563412u);
  EXPECT_EQ(LoadBe<uint32_t>(bytes), 0x12345678u);
  EXPECT_EQ(LoadBe<uint16_t>(bytes + 1), 0x3456u);
  uint8_t out[8];
  StoreBe<uint64_t>(out, 0x0102030405060708);
  EXPECT_EQ(out[0], 1);
  EXPECT_EQ(out[7], 8);
}

TEST(Bytes, SizedAccessesTouchOnlyTheirBytes) {
  uint8_t bytes[4] = {0xaa, 0xbb, 0xcc, 0xdd};
  EXPECT_EQ(LoadLeSized(bytes, 2), 0xbbaau);
  StoreLeSized(bytes, 1, 0x1122);
  EXPECT_THAT(bytes, testing::ElementsAre(0x22, 0xbb, 0xcc, 0xdd));
}

TEST(Range, ContainsIsRightAtTheTopOfTheAddressSpace) {
  const Range range{~uint64_t{0} - 0xfff, 0x1000 - 1};
  EXPECT_TRUE(range.Contains(~uint64_t{0} - 2, 2));
  EXPECT_FALSE(range.Contains(~uint64_t{0} - 2, 3));
  EXPECT_FALSE(range.Contains(~uint64_t{0} - 2, ~uint64_t{0}));
}

TEST(Range, OverlapsNeedsACommonByte) {
  EXPECT_TRUE((Range{0, 10}.Overlaps({9, 1})));
  EXPECT_FALSE((Range{0, 10}.Overlaps({10, 5})));
  EXPECT_FALSE((Range{0, 10}.Overlaps({5, 0})));
}

TEST(HumanSize, NamesTheLargestUnitThatFits) {
  EXPECT_EQ(HumanSize(512), "512 bytes");
  EXPECT_EQ(HumanSize(64 * kMiB), "64 MiB");
  EXPECT_EQ(HumanSize(kGiB + kGiB / 2), "1.5 GiB");
}

}  // namespace
}  // namespace berth
