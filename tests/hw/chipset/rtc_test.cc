#include "hw/chipset/rtc.h"

#include <gtest/gtest.h>

namespace berth::hw {
namespace {

constexpr uint8_t kSeconds = 0, kMinutes = 2, kHours = 4, kWeekday = 6, kDay = 7, kMonth = 8, kYear = 9,
                  kStatusA = 0xa, kStatusB = 0xb, kStatusC = 0xc, kStatusD = 0xd, kCentury = 0x32;

struct RtcTest : testing::Test {
  uint8_t Get(uint8_t index) {
    rtc.Write(0, 1, index);
    return static_cast<uint8_t>(rtc.Read(1, 1));
  }
  void Set(uint8_t index, uint8_t value) {
    rtc.Write(0, 1, index);
    rtc.Write(1, 1, value);
  }
  int64_t now = 1'709'208'059;  // 2024-02-29 12:00:59, a Thursday.
  Rtc rtc{[this] { return now; }};
};

TEST_F(RtcTest, TellsTheTimeInBinaryCodedDecimal) {
  EXPECT_EQ(Get(kSeconds), 0x59);
  EXPECT_EQ(Get(kMinutes), 0x00);
  EXPECT_EQ(Get(kHours), 0x12);
  EXPECT_EQ(Get(kWeekday), 5);  // 1 is Sunday.
  EXPECT_EQ(Get(kDay), 0x29);
  EXPECT_EQ(Get(kMonth), 0x02);
  EXPECT_EQ(Get(kYear), 0x24);
  EXPECT_EQ(Get(kCentury), 0x20);
}

TEST_F(RtcTest, IsRunningAndNeverUpdating) {
  EXPECT_EQ(Get(kStatusA) & 0x80, 0);     // UIP.
  EXPECT_EQ(Get(kStatusB) & 0x06, 0x02);  // 24 hours, BCD.
  EXPECT_EQ(Get(kStatusC), 0);
  EXPECT_EQ(Get(kStatusD), 0x80);  // VRT: the battery is good.
  now += 1;
  EXPECT_EQ(Get(kSeconds), 0x00);
  EXPECT_EQ(Get(kMinutes), 0x01);
}

TEST_F(RtcTest, WhatTheGuestSetsGoesOnFromThere) {
  Set(kHours, 0x03);
  Set(kMinutes, 0x30);
  now += 60;
  EXPECT_EQ(Get(kHours), 0x03);
  EXPECT_EQ(Get(kMinutes), 0x31);
  EXPECT_EQ(Get(kDay), 0x29);
}

TEST_F(RtcTest, ADateIsSetInAnyOrderBehindTheSetBit) {
  // From 29 February to 31 March: neither "31 February" nor "29 March" may come of it.
  Set(kStatusB, 0x82);
  EXPECT_EQ(Get(kStatusB) & 0x80, 0x80);
  Set(kDay, 0x31);
  Set(kMonth, 0x03);
  Set(kYear, 0x99);
  Set(kCentury, 0x19);
  now += 100;  // It stands still meanwhile.
  EXPECT_EQ(Get(kSeconds), 0x59);
  Set(kStatusB, 0x02);
  EXPECT_EQ(Get(kDay), 0x31);
  EXPECT_EQ(Get(kMonth), 0x03);
  EXPECT_EQ(Get(kYear), 0x99);
  EXPECT_EQ(Get(kCentury), 0x19);
  EXPECT_EQ(Get(kSeconds), 0x59);
}

TEST_F(RtcTest, WhatNoClockShowsIsIgnored) {
  for (const uint8_t value : {0x60, 0x0a, 0xff}) Set(kSeconds, value);
  Set(kHours, 0x24);
  Set(kMonth, 0x00);
  Set(kMonth, 0x13);
  Set(kDay, 0x00);
  Set(kCentury, 0x18);
  EXPECT_EQ(Get(kSeconds), 0x59);
  EXPECT_EQ(Get(kHours), 0x12);
  EXPECT_EQ(Get(kMonth), 0x02);
  EXPECT_EQ(Get(kDay), 0x29);
  EXPECT_EQ(Get(kCentury), 0x20);
}

TEST_F(RtcTest, TheRestIsMemory) {
  Set(0x40, 0x5a);
  Set(0x7f, 0xa5);
  EXPECT_EQ(Get(0x40), 0x5a);
  EXPECT_EQ(Get(0x7f), 0xa5);
  EXPECT_EQ(Get(0xc0), 0x5a);  // Bit 7 of the index is the NMI mask, not address.
}

TEST_F(RtcTest, StatusRegistersAreNotMemory) {
  Set(kStatusC, 0xff);
  Set(kStatusD, 0x00);
  EXPECT_EQ(Get(kStatusC), 0);
  EXPECT_EQ(Get(kStatusD), 0x80);
}

TEST_F(RtcTest, TheIndexPortAndWideAccessesReadOnes) {
  EXPECT_EQ(rtc.Read(0, 1), 0xffu);
  EXPECT_EQ(rtc.Read(1, 2), 0xffffu);
}

}  // namespace
}  // namespace berth::hw
