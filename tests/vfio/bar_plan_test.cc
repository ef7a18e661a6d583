#include "vfio/bar_plan.h"

#include <gmock/gmock.h>

#include "tests/fakes/fake_vfio_device.h"

namespace berth::vfio {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

struct BarPlanTest : testing::Test {
  // BAR kinds: 0 32-bit memory, 1 ports, 4 64-bit, 8 prefetchable.
  void Bar(unsigned index, uint64_t size, uint32_t kind, bool mappable = true, bool msix_mappable = false) {
    StoreLe<uint32_t>(&config[0x10 + 4 * index], kind);
    regions[index] = {.index = index, .size = size, .msix_mappable = msix_mappable};
    if (mappable) regions[index].mappable = {{0, size}};
  }
  Result<FunctionPlan> Plan(std::optional<MsixPlan> msix = std::nullopt, bool relocate = false) {
    return PlanFunction(config, regions, msix, relocate);
  }
  std::vector<uint8_t> config = std::vector<uint8_t>(4096);
  std::vector<RegionInfo> regions = std::vector<RegionInfo>(7);
};

// docs/assigned-devices.md, 11: sizes are the regions', kinds the registers'.
TEST_F(BarPlanTest, TakesSizesAndKinds) {
  Bar(0, 16 * kMiB, 0xc);
  Bar(2, 64, 1, false);
  Bar(3, 0x200000, 0);
  Bar(6, 0x8000, 0, false);
  const auto plan = Plan();
  ASSERT_TRUE(plan);
  ASSERT_THAT(plan->bars, SizeIs(4));
  const auto& first = plan->bars[0].request;
  EXPECT_TRUE(first.is_64bit && first.prefetchable && !first.io);
  EXPECT_EQ(first.size, 16 * kMiB);
  const auto& ports = plan->bars[1].request;
  EXPECT_TRUE(ports.io && !ports.is_64bit);
  EXPECT_EQ(ports.alignment, 0u);
  EXPECT_THAT(plan->bars[1].map, IsEmpty());
  EXPECT_EQ(plan->bars[2].request.index, 3u);
  EXPECT_EQ(plan->bars[3].request.index, 6u);
}

// docs/assigned-devices.md, 14: BARs below a page keep the page to themselves.
TEST_F(BarPlanTest, SmallAndOddSizesAreRounded) {
  Bar(0, 0x20, 0, false);
  Bar(1, 5, 1, false);
  Bar(2, 0x3000, 0);
  const auto plan = Plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->bars[0].request.size, 0x20u);
  EXPECT_EQ(plan->bars[0].request.alignment, 0x1000u);
  EXPECT_EQ(plan->bars[1].request.size, 8u);
  EXPECT_EQ(plan->bars[2].request.size, 0x4000u);
  EXPECT_THAT(plan->bars[2].show, ElementsAre(Range{0, 0x3000}));
}

// docs/assigned-devices.md, 14.
TEST_F(BarPlanTest, WhatIsAloneInItsPageIsShownAsThePage) {
  Bar(0, 0x100, 0);
  regions[0].mappable = {{0, 0x1000}};
  const auto plan = Plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->bars[0].request.size, 0x1000u);
  EXPECT_THAT(plan->bars[0].show, ElementsAre(Range{0, 0x1000}));
}

TEST_F(BarPlanTest, BarsThatCannotBeAreRefused) {
  Bar(0, 4 * kGiB, 0);
  EXPECT_EQ(Plan().error().code(), Code::kUnimplemented);
  Bar(0, 0, 0);
  Bar(5, kMiB, 4);
  EXPECT_EQ(Plan().error().code(), Code::kUnimplemented);
  Bar(5, 0, 0);
  Bar(0, uint64_t{1} << 60, 4);
  EXPECT_EQ(Plan().error().code(), Code::kUnimplemented);
  Bar(0, 0, 0);
  Bar(1, kMiB, 1);
  EXPECT_EQ(Plan().error().code(), Code::kUnimplemented);
  Bar(1, 0, 0);
  Bar(6, kGiB, 0);
  EXPECT_EQ(Plan().error().code(), Code::kUnimplemented);
}

// docs/assigned-devices.md, 17.
TEST_F(BarPlanTest, SaysWhichBarTheRegistersKnowNothingOf) {
  Bar(0, kMiB, 0);
  Bar(2, kMiB, 0xfe000000);
  Bar(4, kMiB, 4);
  const auto plan = Plan();
  EXPECT_TRUE(plan->bars[0].unassigned);
  EXPECT_FALSE(plan->bars[1].unassigned);
  EXPECT_FALSE(plan->bars[2].unassigned);
}

// docs/assigned-devices.md, 13: the table's and the pending bits' pages trap.
TEST_F(BarPlanTest, CutsTheMsixStructuresOutOfWhatIsShown) {
  Bar(0, 0x10000, 0, true, true);
  const auto plan = Plan(MsixPlan{.vectors = 16, .table_offset = 0x2000, .pba_offset = 0x3800});
  ASSERT_TRUE(plan && plan->msix);
  EXPECT_THAT(plan->bars[0].map, ElementsAre(Range{0, 0x10000}));
  EXPECT_THAT(plan->bars[0].show, ElementsAre(Range{0, 0x2000}, Range{0x4000, 0xc000}));
}

TEST_F(BarPlanTest, AsksForNoMappingOfATableThatVfioKeeps) {
  Bar(0, 0x10000, 0, true, false);
  const auto plan = Plan(MsixPlan{.vectors = 16, .table_offset = 0x2000, .pba_offset = 0x8000});
  ASSERT_TRUE(plan && plan->msix);
  EXPECT_THAT(plan->bars[0].map, ElementsAre(Range{0, 0x2000}, Range{0x3000, 0xd000}));
  EXPECT_THAT(plan->bars[0].show,
              ElementsAre(Range{0, 0x2000}, Range{0x3000, 0x5000}, Range{0x9000, 0x7000}));
}

TEST_F(BarPlanTest, MovesMsixToAFreeBarOnRequest) {
  Bar(0, 0x10000, 4, true, true);
  Bar(2, 0x1000, 0);
  const auto plan = Plan(MsixPlan{.vectors = 2048, .table_offset = 0x2000, .pba_offset = 0xb000}, true);
  ASSERT_TRUE(plan && plan->msix);
  EXPECT_TRUE(plan->msix->relocated);
  EXPECT_EQ(plan->msix->table_bar, 3u);  // 1 is the upper half of 0.
  EXPECT_EQ(plan->msix->pba_offset, 0x8000u);
  EXPECT_EQ(plan->bars[2].request.size, 0x10000u);
  EXPECT_THAT(plan->bars[0].show, ElementsAre(Range{0, 0x10000}));
}

TEST_F(BarPlanTest, MovesMsixWhereTheHardwareNamesNoPlaceForIt) {
  Bar(0, 0x10000, 0);
  Bar(1, 64, 1, false);
  for (const MsixPlan& nonsense :
       {MsixPlan{.vectors = 16, .table_bar = 7}, MsixPlan{.vectors = 16, .table_bar = 1},
        MsixPlan{.vectors = 16, .table_offset = 0xfff8}, MsixPlan{.vectors = 16, .pba_offset = 0x10000},
        MsixPlan{.vectors = 16, .table_offset = 0, .pba_offset = 8}}) {
    const auto plan = Plan(nonsense);
    ASSERT_TRUE(plan && plan->msix);
    EXPECT_EQ(plan->msix->table_bar, 2u);
  }
}

TEST_F(BarPlanTest, DropsMsixThatHasNoPlaceAnywhere) {
  for (unsigned i = 0; i < 6; ++i) Bar(i, 0x1000, 0);
  const auto plan = Plan(MsixPlan{.vectors = 16, .table_bar = 7});
  ASSERT_TRUE(plan);
  EXPECT_FALSE(plan->msix);
}

TEST(ReadMsix, TakesTheLesserOfHardwareAndKernel) {
  FakeVfioDevice device;
  device.AddMsix(0x50, 64, 3, 0x1000, 0x2008);
  const auto msix = ReadMsix(device.config, 0x50, 32);
  ASSERT_TRUE(msix);
  EXPECT_EQ(msix->vectors, 32u);
  EXPECT_EQ(msix->table_bar, 3u);
  EXPECT_EQ(msix->table_offset, 0x1000u);
  EXPECT_EQ(msix->pba_offset, 0x2008u);
  EXPECT_FALSE(ReadMsix(device.config, 0x50, 0));
  EXPECT_FALSE(ReadMsix(device.config, 0xf8, 64));
}

TEST(CutPages, CutsWholePages) {
  const std::vector<Range> areas{{0, 0x4000}, {0x8000, 0x2000}};
  auto cut = [&](Range hole) { return CutPages(areas, {&hole, 1}); };
  EXPECT_THAT(cut({0x1800, 0x10}),
              ElementsAre(Range{0, 0x1000}, Range{0x2000, 0x2000}, Range{0x8000, 0x2000}));
  EXPECT_THAT(cut({0, 0x1}), ElementsAre(Range{0x1000, 0x3000}, Range{0x8000, 0x2000}));
  EXPECT_THAT(cut({0x3ff8, 0x4010}), ElementsAre(Range{0, 0x3000}, Range{0x9000, 0x1000}));
  EXPECT_THAT(cut({0x5000, 0x1000}), ElementsAre(areas[0], areas[1]));
  EXPECT_THAT(cut({0x1000, 0}), ElementsAre(areas[0], areas[1]));
  EXPECT_THAT(cut({0, 0x10000}), IsEmpty());
}

}  // namespace
}  // namespace berth::vfio
