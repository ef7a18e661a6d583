#include "hw/memory/flat_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::hw {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class NoHandler final : public IoHandler {
 public:
  uint64_t Read(uint64_t, unsigned) override { return 0; }
  void Write(uint64_t, unsigned, uint64_t) override {}
};

// A flat range as (start, size, offset in its region).
using Piece = std::tuple<uint64_t, uint64_t, uint64_t>;
std::vector<Piece> PiecesOf(const FlatView& view, const IoHandler* handler) {
  std::vector<Piece> pieces;
  for (const FlatRange& range : view.ranges) {
    if (range.handler == handler) pieces.emplace_back(range.start, range.size, range.offset_in_region);
  }
  return pieces;
}

struct FlatViewTest : testing::Test {
  Region root = Region::Container("root", 0x10000);
  NoHandler low, high;
};

TEST_F(FlatViewTest, WhereNothingIsThereIsNoRange) {
  Region device = Region::Io("device", 0x100, &low);
  root.Add(&device, 0x1000);
  const FlatView view = Flatten(root);
  EXPECT_THAT(PiecesOf(view, &low), ElementsAre(Piece{0x1000, 0x100, 0}));
  EXPECT_EQ(view.Find(0xfff), nullptr);
  EXPECT_NE(view.Find(0x1000), nullptr);
  EXPECT_NE(view.Find(0x10ff), nullptr);
  EXPECT_EQ(view.Find(0x1100), nullptr);
}

TEST_F(FlatViewTest, AHigherPriorityCutsALowerOneInTwo) {
  Region wide = Region::Io("wide", 0x1000, &low), narrow = Region::Io("narrow", 0x100, &high);
  root.Add(&narrow, 0x1400, 1);
  root.Add(&wide, 0x1000);
  const FlatView view = Flatten(root);
  EXPECT_THAT(PiecesOf(view, &low), ElementsAre(Piece{0x1000, 0x400, 0}, Piece{0x1500, 0xb00, 0x500}));
  EXPECT_THAT(PiecesOf(view, &high), ElementsAre(Piece{0x1400, 0x100, 0}));
}

TEST_F(FlatViewTest, AmongEqualsTheLaterOneIsSeen) {
  Region first = Region::Io("first", 0x100, &low), second = Region::Io("second", 0x100, &high);
  root.Add(&first, 0);
  root.Add(&second, 0x80);
  const FlatView view = Flatten(root);
  EXPECT_THAT(PiecesOf(view, &low), ElementsAre(Piece{0, 0x80, 0}));
  EXPECT_THAT(PiecesOf(view, &high), ElementsAre(Piece{0x80, 0x100, 0}));
}

TEST_F(FlatViewTest, ANegativePriorityLiesBelow) {
  Region above = Region::Io("above", 0x10, &high), below = Region::Io("below", 0x100, &low);
  root.Add(&above, 0x20);
  root.Add(&below, 0, -1);
  const FlatView view = Flatten(root);
  EXPECT_THAT(PiecesOf(view, &high), ElementsAre(Piece{0x20, 0x10, 0}));
  EXPECT_THAT(PiecesOf(view, &low), ElementsAre(Piece{0, 0x20, 0}, Piece{0x30, 0xd0, 0x30}));
}

TEST_F(FlatViewTest, PrioritiesAreAmongSiblings) {
  // A container's place among its siblings decides, whatever priorities are inside it.
  Region container = Region::Container("container", 0x1000), inside = Region::Io("inside", 0x100, &low);
  Region sibling = Region::Io("sibling", 0x100, &high);
  container.Add(&inside, 0, 100);
  root.Add(&container, 0);
  root.Add(&sibling, 0, 1);
  const FlatView view = Flatten(root);
  EXPECT_THAT(PiecesOf(view, &low), IsEmpty());
  EXPECT_THAT(PiecesOf(view, &high), ElementsAre(Piece{0, 0x100, 0}));
}

TEST_F(FlatViewTest, AContainerIsTransparentWhereItHasNoChild) {
  Region container = Region::Container("container", 0x1000), inside = Region::Io("inside", 0x100, &high);
  Region below = Region::Io("below", 0x1000, &low);
  container.Add(&inside, 0x800);
  root.Add(&container, 0, 1);
  root.Add(&below, 0);
  EXPECT_THAT(PiecesOf(Flatten(root), &low), ElementsAre(Piece{0, 0x800, 0}, Piece{0x900, 0x700, 0x900}));
}

TEST_F(FlatViewTest, ChildrenAreCutAtTheirParentsEnd) {
  Region container = Region::Container("container", 0x100), inside = Region::Io("inside", 0x100, &low);
  container.Add(&inside, 0x80);
  root.Add(&container, 0xff00);
  EXPECT_THAT(PiecesOf(Flatten(root), &low), ElementsAre(Piece{0xff80, 0x80, 0}));
}

TEST_F(FlatViewTest, AnAliasShowsAPartOfItsTargetElsewhere) {
  Region target = Region::Io("target", 0x1000, &low);
  Region alias = Region::Alias("alias", &target, 0x400, 0x100);
  root.Add(&target, 0x8000);
  root.Add(&alias, 0x1000);
  EXPECT_THAT(PiecesOf(Flatten(root), &low),
              ElementsAre(Piece{0x1000, 0x100, 0x400}, Piece{0x8000, 0x1000, 0}));
}

TEST_F(FlatViewTest, AnAliasOfAContainerShowsWhatLiesInItsWindow) {
  Region behind = Region::Container("behind", ~uint64_t{0}), device = Region::Io("device", 0x100, &low);
  behind.Add(&device, 0x2080);
  Region window = Region::Alias("window", &behind, 0x2000, 0x100);
  root.Add(&window, 0x2000);
  EXPECT_THAT(PiecesOf(Flatten(root), &low), ElementsAre(Piece{0x2080, 0x80, 0}));
}

TEST_F(FlatViewTest, AnAliasFurtherInThanItsPlaceWraps) {
  // The target's first byte would lie below address 0.
  Region target = Region::Io("target", 0x1000, &low);
  Region alias = Region::Alias("alias", &target, 0xf00, 0x100);
  root.Add(&alias, 0x10);
  EXPECT_THAT(PiecesOf(Flatten(root), &low), ElementsAre(Piece{0x10, 0x100, 0xf00}));
}

TEST_F(FlatViewTest, ALoopOfAliasesEnds) {
  Region container = Region::Container("container", 0x1000);
  Region alias = Region::Alias("alias", &container, 0, 0x1000);
  container.Add(&alias, 0);
  root.Add(&container, 0);
  EXPECT_THAT(Flatten(root).ranges, IsEmpty());
  container.Remove(&alias);
}

TEST_F(FlatViewTest, WhatReachesTheTopOfTheAddressSpaceEndsThere) {
  Region whole = Region::Container("whole", ~uint64_t{0}), device = Region::Io("device", 0x1000, &low);
  whole.Add(&device, ~uint64_t{0} - 0x7ff);
  const FlatView view = Flatten(whole);
  ASSERT_THAT(PiecesOf(view, &low), ElementsAre(Piece{~uint64_t{0} - 0x7ff, 0x7ff, 0}));
  EXPECT_EQ(view.Find(0), nullptr);  // The rest does not come back at the bottom.
}

TEST_F(FlatViewTest, AMappingIsCutAsItsRangeIs) {
  std::vector<uint8_t> bytes(0x1000);
  Region ram = Region::Ram("ram", {bytes.data(), bytes.size(), 7, 0x10000});
  Region hole = Region::Io("hole", 0x100, &high);
  root.Add(&ram, 0x1000);
  root.Add(&hole, 0x1400, 1);
  const FlatView view = Flatten(root);
  const FlatRange* after = view.Find(0x1500);
  ASSERT_NE(after, nullptr);
  EXPECT_EQ(after->kind, Region::Kind::kRam);
  EXPECT_EQ(after->mapping.address, bytes.data() + 0x500);
  EXPECT_EQ(after->mapping.size, 0xb00u);
  EXPECT_EQ(after->mapping.fd_offset, 0x10500u);
  EXPECT_EQ(view.Find(0x1000)->mapping.size, 0x400u);
}

TEST_F(FlatViewTest, ADoorbellIsThereWhileItsRegistersAreSeen) {
  Region device = Region::Io("device", 0x100, &low);
  device.AddIoEvent({.offset = 0x10, .size = 4, .value = 1, .eventfd = 3});
  device.AddIoEvent({.offset = 0x80, .size = 0, .value = std::nullopt, .eventfd = 4});
  root.Add(&device, 0x1000);
  Region cover = Region::Io("cover", 0x20, &high);
  root.Add(&cover, 0x1000, 1);
  const FlatView view = Flatten(root);
  ASSERT_EQ(view.io_events.size(), 1u);
  EXPECT_EQ(view.io_events[0].address, 0x1080u);
  EXPECT_EQ(view.io_events[0].event.eventfd, 4);
}

TEST_F(FlatViewTest, ARegionLeavesItsParentWhenItIsGone) {
  {
    Region device = Region::Io("device", 0x100, &low);
    root.Add(&device, 0);
    EXPECT_TRUE(device.attached());
  }
  EXPECT_THAT(Flatten(root).ranges, IsEmpty());
}

}  // namespace
}  // namespace berth::hw
