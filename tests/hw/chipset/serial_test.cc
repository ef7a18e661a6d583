#include "hw/chipset/serial.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/fakes/fake_interrupts.h"

namespace berth::hw {
namespace {

// Registers of the TL16C550, by offset.
constexpr uint64_t kData = 0, kIer = 1, kIir = 2, kFcr = 2, kLcr = 3, kMcr = 4, kLsr = 5, kMsr = 6, kScr = 7;
constexpr uint8_t kDlab = 0x80, kOut2 = 8, kLoop = 0x10;
constexpr uint8_t kThre = 0x20, kTemt = 0x40, kDataReady = 1;
constexpr uint32_t kGsi = 4;

struct SerialTest : testing::Test {
  void Out(uint64_t offset, uint8_t value) { serial.Write(offset, 1, value); }
  uint8_t In(uint64_t offset) { return static_cast<uint8_t>(serial.Read(offset, 1)); }
  size_t Receive(const std::string& text) {
    return serial.Receive({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  bool line() { return interrupts.levels[kGsi]; }

  FakeInterrupts interrupts;
  std::string sent;
  Serial serial{&interrupts, kGsi, [this](uint8_t byte) { sent.push_back(static_cast<char>(byte)); }};
};

TEST_F(SerialTest, SendsAtOnceAndIsEmptyAgain) {
  Out(kData, 'a');
  Out(kData, 'b');
  EXPECT_EQ(sent, "ab");
  EXPECT_EQ(In(kLsr), kThre | kTemt);
}

TEST_F(SerialTest, ReceivesInOrder) {
  EXPECT_EQ(Receive("xy"), 2u);
  EXPECT_TRUE(In(kLsr) & kDataReady);
  EXPECT_EQ(In(kData), 'x');
  EXPECT_EQ(In(kData), 'y');
  EXPECT_FALSE(In(kLsr) & kDataReady);
  EXPECT_EQ(In(kData), 0);
}

TEST_F(SerialTest, TakesNoMoreThanItHasRoomFor) {
  EXPECT_EQ(Receive(std::string(Serial::kMaxInput - 1, 'x')), Serial::kMaxInput - 1);
  EXPECT_EQ(Receive("yz"), 1u);
  EXPECT_EQ(Receive("w"), 0u);
  In(kData);
  EXPECT_EQ(Receive("w"), 1u);
}

TEST_F(SerialTest, TheDivisorLatchHidesDataAndInterruptEnable) {
  Out(kLcr, kDlab | 3);
  Out(kData, 0x34);
  Out(kIer, 0x12);
  EXPECT_EQ(In(kData), 0x34);
  EXPECT_EQ(In(kIer), 0x12);
  Out(kLcr, 3);
  EXPECT_EQ(In(kIer), 0);
  EXPECT_EQ(sent, "");
}

TEST_F(SerialTest, TheScratchRegisterKeepsItsByteAndIerItsLowHalf) {
  Out(kScr, 0xa5);
  EXPECT_EQ(In(kScr), 0xa5);
  Out(kIer, 0xff);
  EXPECT_EQ(In(kIer), 0x0f);  // "Bits 4 through 7 are cleared."
  Out(kMcr, 0xff);
  EXPECT_EQ(In(kMcr), 0x1f);
}

TEST_F(SerialTest, FifosShowInTheInterruptIdentification) {
  // How drivers tell a 16550A: IIR bits 6 and 7 are set when FCR bit 0 is.
  EXPECT_EQ(In(kIir), 0x01);
  Out(kFcr, 1);
  EXPECT_EQ(In(kIir), 0xc1);
  Out(kFcr, 0);
  EXPECT_EQ(In(kIir), 0x01);
}

TEST_F(SerialTest, FcrClearsTheReceiverOnlyWithTheFifosOn) {
  // "FCR0 must be a 1 when other FCR bits are written to or they are not programmed."
  Receive("old");
  Out(kFcr, 2);
  EXPECT_TRUE(In(kLsr) & kDataReady);
  Out(kFcr, 1);
  Receive("new");
  Out(kFcr, 3);
  EXPECT_FALSE(In(kLsr) & kDataReady);
}

TEST_F(SerialTest, TurningTheFifosOnOrOffClearsThem) {
  Receive("x");
  Out(kFcr, 1);
  EXPECT_FALSE(In(kLsr) & kDataReady);
  Receive("x");
  Out(kFcr, 1);
  EXPECT_TRUE(In(kLsr) & kDataReady);
  Out(kFcr, 0);
  EXPECT_FALSE(In(kLsr) & kDataReady);
}

TEST_F(SerialTest, ReceivedDataInterruptsUntilItIsRead) {
  Out(kMcr, kOut2);
  Out(kIer, 1);
  EXPECT_FALSE(line());
  Receive("x");
  EXPECT_TRUE(line());
  EXPECT_EQ(In(kIir) & 0x0f, 0x04);
  EXPECT_TRUE(line());  // Reading IIR does not take this one back.
  In(kData);
  EXPECT_FALSE(line());
  EXPECT_EQ(In(kIir) & 0x0f, 0x01);
}

TEST_F(SerialTest, TheTransmitterInterruptsWhenEnabledWhileEmpty) {
  Out(kMcr, kOut2);
  Out(kIer, 2);
  EXPECT_TRUE(line());
  EXPECT_EQ(In(kIir) & 0x0f, 0x02);
  // "Reading IIR, if it is the source of the interrupt, resets it."
  EXPECT_FALSE(line());
  EXPECT_EQ(In(kIir) & 0x0f, 0x01);
}

TEST_F(SerialTest, TheTransmitterInterruptsAgainAfterEachByte) {
  Out(kMcr, kOut2);
  Out(kIer, 2);
  In(kIir);
  Out(kData, 'a');
  EXPECT_TRUE(line());
  EXPECT_EQ(In(kIir) & 0x0f, 0x02);
  EXPECT_FALSE(line());
}

TEST_F(SerialTest, ReceivedDataComesBeforeTheTransmitter) {
  Out(kMcr, kOut2);
  Out(kIer, 3);
  Receive("x");
  EXPECT_EQ(In(kIir) & 0x0f, 0x04);
  In(kData);
  EXPECT_EQ(In(kIir) & 0x0f, 0x02);  // It was not acknowledged before.
}

TEST_F(SerialTest, WithoutOut2NothingReachesTheInterruptController) {
  // On a PC, OUT2 gates the interrupt line.
  Out(kIer, 1);
  Receive("x");
  EXPECT_FALSE(line());
  Out(kMcr, kOut2);
  EXPECT_TRUE(line());
  Out(kMcr, 0);
  EXPECT_FALSE(line());
}

TEST_F(SerialTest, LoopbackSendsToItself) {
  Out(kMcr, kLoop);
  Out(kData, 'l');
  EXPECT_EQ(sent, "");
  EXPECT_EQ(In(kData), 'l');
}

TEST_F(SerialTest, LoopbackIsBounded) {
  Out(kMcr, kLoop);
  for (size_t i = 0; i < Serial::kMaxInput + 100; ++i) Out(kData, 'l');
  EXPECT_EQ(Receive("x"), 0u);
}

TEST_F(SerialTest, LoopbackWiresTheModemOutputsToTheInputs) {
  EXPECT_EQ(In(kMsr) & 0xf0, 0xb0);  // Somebody is always there.
  const std::pair<uint8_t, uint8_t> wires[] = {{1, 0x20}, {2, 0x10}, {4, 0x40}, {8, 0x80}};
  for (const auto& [output, input] : wires) {
    Out(kMcr, kLoop | output);
    EXPECT_EQ(In(kMsr) & 0xf0, input) << int{output};
  }
}

TEST_F(SerialTest, OnlyByteAccessesCount) {
  serial.Write(kData, 2, 0x4141);
  EXPECT_EQ(sent, "");
  EXPECT_EQ(serial.Read(kLsr, 4), 0xffffffffu);
}

TEST_F(SerialTest, ResetForgetsEverythingAndLowersTheLine) {
  Out(kMcr, kOut2);
  Out(kIer, 3);
  Out(kFcr, 1);
  Receive("x");
  ASSERT_TRUE(line());
  serial.Reset();
  EXPECT_FALSE(line());
  EXPECT_EQ(In(kIer), 0);
  EXPECT_EQ(In(kIir), 0x01);
  EXPECT_EQ(In(kLsr), kThre | kTemt);
}

}  // namespace
}  // namespace berth::hw
