#include "hw/memory/address_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::hw {
namespace {

using testing::HasSubstr;

TEST(AddressMap, SmallMemoryIsAllBelowTheHole) {
  const auto plan = PlanAddressMap(512 * kMiB, 46, 0, 0);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->low_ram, (Range{0, 512 * kMiB}));
  EXPECT_EQ(plan->high_ram.size, 0u);
}

TEST(AddressMap, LargeMemoryGoesOnAt4GiB) {
  const auto plan = PlanAddressMap(8 * kGiB, 46, 0, 0);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->low_ram, (Range{0, map::kLowRamEnd}));
  EXPECT_EQ(plan->high_ram, (Range{map::k4GiB, 8 * kGiB - map::kLowRamEnd}));
}

TEST(AddressMap, TheWindowIsAlignedToItsLargestBarAndAboveRam) {
  for (const uint64_t ram : {1 * kGiB, 60 * kGiB, 64 * kGiB, 500 * kGiB}) {
    const auto plan = PlanAddressMap(ram, 46, 300 * kGiB, 128 * kGiB);
    ASSERT_TRUE(plan) << plan.error().message();
    EXPECT_TRUE(IsAligned(plan->mmio64.start, 128 * kGiB));
    EXPECT_GE(plan->mmio64.start, plan->high_ram.end());
    EXPECT_GE(plan->mmio64.size, 300 * kGiB);
    EXPECT_LE(plan->mmio64.end(), uint64_t{1} << 46);
    EXPECT_FALSE(plan->mmio64.Overlaps(map::kAmdHole));
  }
}

TEST(AddressMap, ALittleMoreMemoryDoesNotMoveTheWindow) {
  EXPECT_EQ(PlanAddressMap(9 * kGiB, 46, kGiB, kGiB)->mmio64,
            PlanAddressMap(10 * kGiB, 46, kGiB, kGiB)->mmio64);
}

// An IOMMU of 39 bits is common on desktops.
TEST(AddressMap, WhereAddressesAreShortTheWindowIsRightBehindRam) {
  const auto plan = PlanAddressMap(300 * kGiB, 39, 100 * kGiB, 64 * kGiB);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->mmio64.start, 320 * kGiB);
  EXPECT_GE(plan->mmio64.size, 100 * kGiB);
  EXPECT_LE(plan->mmio64.end(), 512 * kGiB);
  EXPECT_TRUE(PlanAddressMap(8 * kGiB, 36, 16 * kGiB, 16 * kGiB));
}

TEST(AddressMap, AWindowThatWouldMeetAmdsHoleStartsBehindIt) {
  // 0xfd00000000 to 0xffffffffff: IOMMUs of AMD hosts do not map it.
  const auto plan = PlanAddressMap(600 * kGiB, 46, 600 * kGiB, 256 * kGiB);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_GE(plan->mmio64.start, map::kAmdHole.end());
}

TEST(AddressMap, WhatDoesNotFitIsRefusedWithTheNumbers) {
  const auto plan = PlanAddressMap(8 * kGiB, 39, 512 * kGiB, 512 * kGiB);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(plan.error().reason(), "ADDRESS_SPACE_EXHAUSTED");
  EXPECT_THAT(plan.error().message(), HasSubstr("39 address bits"));
}

TEST(AddressMap, RamInAmdsHoleIsRefused) { EXPECT_FALSE(PlanAddressMap(1100 * kGiB, 52, 0, 0)); }

TEST(AddressMap, NothingFixedOverlaps) {
  const Range fixed[] = {map::kMmio32, map::kEcam, map::kIoApic, map::kLocalApic};
  for (const Range& one : fixed) {
    EXPECT_GE(one.start, map::kLowRamEnd);
    EXPECT_LE(one.end(), map::k4GiB);
    for (const Range& other : fixed) EXPECT_TRUE(&one == &other || !one.Overlaps(other));
  }
}

}  // namespace
}  // namespace berth::hw
