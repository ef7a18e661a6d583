#include "hw/pci/msi.h"

#include <gmock/gmock.h>

#include "tests/fakes/fake_interrupts.h"

namespace berth::hw {
namespace {

constexpr unsigned kControl = 2, kAddress = 4, kData32 = 8, kData64 = 12;

struct MsiTest : testing::Test {
  void Create(Msi::Shape shape) { msi = std::move(*Msi::Create(&interrupts, shape)); }
  FakeInterrupts interrupts;
  std::unique_ptr<Msi> msi;
};

// PCI Local Bus 3.0, 6.8.1: the four layouts of the capability.
TEST_F(MsiTest, HasTheFourShapes) {
  EXPECT_EQ((Msi::Shape{.is_64bit = false}).size(), 10u);
  EXPECT_EQ((Msi::Shape{.is_64bit = true}).size(), 14u);
  EXPECT_EQ((Msi::Shape{.is_64bit = false, .maskable = true}).size(), 20u);
  EXPECT_EQ((Msi::Shape{.is_64bit = true, .maskable = true}).size(), 24u);
}

TEST_F(MsiTest, SaysWhatItIsCapableOf) {
  Create({.vectors = 8, .is_64bit = true, .maskable = true});
  EXPECT_EQ(msi->Read(kControl, 2), 3u << 1 | 1u << 7 | 1u << 8);
  msi->Write(kControl, 2, 0xffff);
  EXPECT_EQ(msi->Read(kControl, 2), 3u << 1 | 1u << 7 | 1u << 8 | 7u << 4 | 1u);
  EXPECT_EQ(msi->active(), 8u);  // 128 is not to be had.
}

TEST_F(MsiTest, SendsTheMessageTheGuestWrote) {
  Create({.vectors = 1, .is_64bit = false});
  msi->Write(kAddress, 4, 0xfee01003);
  msi->Write(kData32, 2, 0x4041);
  EXPECT_TRUE(msi->vector(0)->masked());
  msi->Write(kControl, 2, 1);
  EXPECT_FALSE(msi->vector(0)->masked());
  EXPECT_EQ(interrupts.vector(0)->message(), (MsiMessage{0xfee01000, 0x4041}));
  // A new target while it is enabled, as interrupt balancing does.
  msi->Write(kAddress, 4, 0xfee02000);
  EXPECT_EQ(interrupts.vector(0)->message().address, 0xfee02000u);
  msi->Write(kControl, 2, 0);
  EXPECT_TRUE(msi->vector(0)->masked());
}

// "the function is permitted to modify low-order message data bits".
TEST_F(MsiTest, SeveralVectorsDifferInTheLowBitsOfTheData) {
  Create({.vectors = 4, .is_64bit = true});
  msi->Write(kAddress, 4, 0xfee00000);
  msi->Write(kAddress + 4, 4, 1);
  msi->Write(kData64, 2, 0x53);
  msi->Write(kControl, 2, 1 | 1 << 4);  // Two of the four.
  EXPECT_EQ(interrupts.vector(0)->message(), (MsiMessage{0x1fee00000, 0x52}));
  EXPECT_EQ(interrupts.vector(1)->message(), (MsiMessage{0x1fee00000, 0x53}));
  EXPECT_TRUE(msi->vector(2)->masked());
}

TEST_F(MsiTest, AMaskedVectorIsPending) {
  Create({.vectors = 2, .is_64bit = true, .maskable = true});
  msi->Write(16, 4, 0xffffffff);
  EXPECT_EQ(msi->Read(16, 4), 3u);  // Two vectors have two bits.
  msi->Write(kControl, 2, 1 | 1 << 4);
  msi->vector(1)->Signal();
  EXPECT_EQ(msi->Read(20, 4), 2u);
  msi->Write(16, 1, 1);
  EXPECT_EQ(interrupts.vector(1)->TakeInterrupts(), 1u);
  EXPECT_EQ(msi->Read(20, 4), 0u);
  msi->Write(20, 4, 0xffffffff);  // Read-only.
  EXPECT_EQ(msi->Read(20, 4), 0u);
}

TEST_F(MsiTest, ReadsAtAnyPlaceAndSize) {
  Create({.vectors = 1, .is_64bit = false});
  msi->Write(kAddress, 4, 0x12345678);
  EXPECT_EQ(msi->Read(kAddress + 2, 2), 0x1234u);
  EXPECT_EQ(msi->Read(kAddress + 3, 1), 0x12u);
  EXPECT_EQ(msi->Read(10, 2), 0u);
  EXPECT_EQ(msi->Read(23, 1), 0u);
  msi->Write(23, 1, 0xff);
  msi->Write(200, 4, 0xff);
}

TEST_F(MsiTest, AVectorWithoutARouteStaysMasked) {
  Create({.vectors = 2, .is_64bit = false});
  interrupts.fail_call = 1;
  msi->Write(kControl, 2, 1 | 1 << 4);
  EXPECT_TRUE(msi->vector(0)->masked());
  EXPECT_FALSE(msi->vector(1)->masked());
}

TEST_F(MsiTest, ResetForgetsEverything) {
  Create({.vectors = 2, .is_64bit = true, .maskable = true});
  msi->Write(kAddress, 4, 0xfee00000);
  msi->Write(16, 4, 3);
  msi->Write(kControl, 2, 1);
  msi->vector(0)->Signal();
  msi->Reset();
  EXPECT_FALSE(msi->enabled());
  EXPECT_EQ(msi->Read(kAddress, 4), 0u);
  EXPECT_EQ(msi->Read(20, 4), 0u);
}

}  // namespace
}  // namespace berth::hw
