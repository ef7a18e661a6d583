#include "hw/pci/bars.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_pci_slot.h"

namespace berth::hw {
namespace {

class NoHandler final : public IoHandler {
 public:
  uint64_t Read(uint64_t offset, unsigned) override { return offset; }
  void Write(uint64_t, unsigned, uint64_t) override {}
};

class BarsTest : public testing::Test {
 protected:
  BarsTest() {
    bars.Attach(&slot);
    bars.Define({.index = 0, .size = 0x1000}, &small);
    bars.Define({.index = 2, .size = 8 * kGiB, .is_64bit = true, .prefetchable = true}, &large);
    bars.Define({.index = 4, .size = 0x20, .io = true}, &ports);
    bars.Define({.index = Bars::kRomIndex, .size = 0x10000}, &rom);
  }
  ~BarsTest() override { bars.Update(false, false); }

  const FlatRange* MemoryAt(uint64_t address) {
    view = slot.memory_space().view();
    return view->Find(address);
  }

  FakePciSlot slot;
  NoHandler handler;
  Region small = Region::Io("small", 0x1000, &handler);
  Region large = Region::Io("large", 8 * kGiB, &handler);
  Region ports = Region::Io("ports", 0x20, &handler);
  Region rom = Region::Io("rom", 0x10000, &handler);
  Bars bars;
  std::shared_ptr<const FlatView> view;
};

// "To determine how much address space a device requires, system software should write a value of all 1's to
// the register and then read the value back." (6.2.5.1)
TEST_F(BarsTest, AllOnesReadBackAsTheSize) {
  bars.WriteConfig(0x10, 4, 0xffffffff);
  EXPECT_EQ(bars.ReadConfig(0x10, 4), 0xfffff000u);
  bars.WriteConfig(0x18, 4, 0xffffffff);
  bars.WriteConfig(0x1c, 4, 0xffffffff);
  EXPECT_EQ(bars.ReadConfig(0x18, 4), 0x0000000cu);
  EXPECT_EQ(bars.ReadConfig(0x1c, 4), 0xfffffffeu);
  bars.WriteConfig(0x20, 4, 0xffffffff);
  EXPECT_EQ(bars.ReadConfig(0x20, 4), 0xffffffe1u);
  bars.WriteConfig(0x30, 4, 0xfffff800);
  EXPECT_EQ(bars.ReadConfig(0x30, 4), 0xffff0000u);
  bars.WriteConfig(0x14, 4, 0xffffffff);
  EXPECT_EQ(bars.ReadConfig(0x14, 4), 0u);  // No such BAR.
}

TEST_F(BarsTest, IsSeenOnlyWhileDecoding) {
  bars.WriteConfig(0x10, 4, 0xe0000000);
  bars.Update(false, true);
  EXPECT_EQ(MemoryAt(0xe0000000), nullptr);
  bars.Update(true, false);
  ASSERT_NE(MemoryAt(0xe0000000), nullptr);
  EXPECT_EQ(MemoryAt(0xe0000000)->size, 0x1000u);
  EXPECT_TRUE(bars.mapped(0));
  bars.Update(false, false);
  EXPECT_EQ(MemoryAt(0xe0000000), nullptr);
}

TEST_F(BarsTest, MovesInOneTransaction) {
  bars.WriteConfig(0x18, 4, 0x0);
  bars.WriteConfig(0x1c, 4, 0x40);
  bars.Update(true, false);
  const uint64_t generation = slot.memory_space().generation();
  bars.WriteConfig(0x1c, 4, 0x80);
  bars.Update(true, false);
  EXPECT_EQ(slot.memory_space().generation(), generation + 1);
  EXPECT_EQ(MemoryAt(0x4000000000), nullptr);
  ASSERT_NE(MemoryAt(0x8000000000), nullptr);
  bars.Update(true, false);
  EXPECT_EQ(slot.memory_space().generation(), generation + 1) << "nothing changed";
}

TEST_F(BarsTest, PortsAndRomHaveTheirOwnSwitches) {
  bars.WriteConfig(0x20, 4, 0xc000);
  bars.WriteConfig(0x30, 4, 0xf0000000);
  bars.Update(true, true);
  EXPECT_NE(slot.io_space().view()->Find(0xc000), nullptr);
  EXPECT_EQ(MemoryAt(0xf0000000), nullptr) << "the ROM's own enable bit is off";
  bars.WriteConfig(0x30, 1, 0x01);
  bars.Update(true, true);
  EXPECT_NE(MemoryAt(0xf0000000), nullptr);
  EXPECT_EQ(bars.ReadConfig(0x30, 4), 0xf0000001u);
}

TEST_F(BarsTest, SizingWithDecodingOnIsNeverMapped) {
  bars.WriteConfig(0x1c, 4, 0x40);
  bars.WriteConfig(0x10, 4, 0xffffffff);
  bars.Update(true, false);
  EXPECT_FALSE(bars.mapped(0));
  bars.WriteConfig(0x18, 4, 0xffffffff);  // Only the low half: the rest would look like an address.
  bars.Update(true, false);
  EXPECT_FALSE(bars.mapped(2));
  bars.WriteConfig(0x18, 4, 0);
  bars.Update(true, false);
  EXPECT_TRUE(bars.mapped(2));
}

TEST_F(BarsTest, NeitherZeroNorWhatLeavesTheContainerIsMapped) {
  bars.WriteConfig(0x10, 4, 0);
  bars.WriteConfig(0x1c, 4, 0x80000000);
  bars.WriteConfig(0x20, 4, 0xfffffff0 & ~0x1fu);
  bars.Update(true, true);
  EXPECT_FALSE(bars.mapped(0));
  EXPECT_FALSE(bars.mapped(2));
  EXPECT_FALSE(bars.mapped(4));
}

TEST_F(BarsTest, TakesBytesAndWords) {
  bars.WriteConfig(0x12, 2, 0xe000);
  bars.WriteConfig(0x11, 1, 0x10);
  EXPECT_EQ(bars.ReadConfig(0x10, 4), 0xe0001000u);
  EXPECT_EQ(bars.ReadConfig(0x11, 1), 0x10u);
  EXPECT_EQ(bars.ReadConfig(0x12, 2), 0xe000u);
}

TEST_F(BarsTest, ResetUnmapsAndForgets) {
  bars.WriteConfig(0x10, 4, 0xe0000000);
  bars.Update(true, true);
  bars.Reset();
  EXPECT_EQ(MemoryAt(0xe0000000), nullptr);
  EXPECT_EQ(bars.address(0), 0u);
}

}  // namespace
}  // namespace berth::hw
