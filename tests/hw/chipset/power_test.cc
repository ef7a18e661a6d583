#include "hw/chipset/power.h"

#include <optional>

#include <gtest/gtest.h>

#include "hw/chipset/pvpanic.h"
#include "tests/fakes/fake_interrupts.h"

namespace berth::hw {
namespace {

constexpr uint32_t kGsi = 5;
constexpr uint64_t kSleepControl = 0, kSleepStatus = 1, kEvents = 2;

struct PowerTest : testing::Test {
  FakeInterrupts interrupts;
  int power_offs = 0, resets = 0;
  std::string reset_by;
  std::optional<uint8_t> exit_code;
  Power power{&interrupts,
              kGsi,
              {.power_off = [this] { ++power_offs; },
               .reset = [this](const char* how) { ++resets, reset_by = how; },
               .debug_exit = [this](uint8_t code) { exit_code = code; }}};
};

TEST_F(PowerTest, OnlySoftOffPowersOff) {
  // ACPI 6.5, 4.8.3.7: SLP_TYPx in bits 2 to 4, SLP_EN in bit 5.
  IoHandler* sleep = power.sleep_handler();
  sleep->Write(kSleepControl, 1, Power::kSleepTypeS5 << 2);          // Not enabled.
  sleep->Write(kSleepControl, 1, 1 << 5 | 3 << 2);                   // Another state.
  sleep->Write(kSleepStatus, 1, 1 << 5 | Power::kSleepTypeS5 << 2);  // Another register.
  EXPECT_EQ(power_offs, 0);
  sleep->Write(kSleepControl, 1, 1 << 5 | Power::kSleepTypeS5 << 2);
  EXPECT_EQ(power_offs, 1);
}

TEST_F(PowerTest, TheButtonIsAnEventThatReadingTakes) {
  IoHandler* sleep = power.sleep_handler();
  EXPECT_EQ(sleep->Read(kEvents, 1), 0u);
  power.PressButton();
  power.PressButton();
  EXPECT_TRUE(interrupts.levels[kGsi]);
  EXPECT_EQ(sleep->Read(kEvents, 1), Power::kEventPowerButton);
  EXPECT_FALSE(interrupts.levels[kGsi]);
  EXPECT_EQ(sleep->Read(kEvents, 1), 0u);
}

TEST_F(PowerTest, OtherReadsLeaveTheEvent) {
  power.PressButton();
  IoHandler* sleep = power.sleep_handler();
  EXPECT_EQ(sleep->Read(kSleepControl, 1), 0u);
  EXPECT_EQ(sleep->Read(kSleepStatus, 1), 0u);
  EXPECT_EQ(sleep->Read(kEvents, 2), 0xffffu);
  EXPECT_TRUE(interrupts.levels[kGsi]);
  EXPECT_EQ(sleep->Read(kEvents, 1), Power::kEventPowerButton);
}

TEST_F(PowerTest, TheResetRegisterResets) {
  // 0xcf9: bit 1 chooses the kind, bit 2 does it.
  power.reset_handler()->Write(0, 1, 0x02);
  EXPECT_EQ(resets, 0);
  power.reset_handler()->Write(0, 1, Power::kResetValue);
  EXPECT_EQ(resets, 1);
  EXPECT_EQ(reset_by, "reset register");
}

TEST_F(PowerTest, TheKeyboardControllerKnowsOnlyItsResetCommand) {
  power.keyboard_handler()->Write(0, 1, 0xd1);
  EXPECT_EQ(resets, 0);
  power.keyboard_handler()->Write(0, 1, 0xfe);
  EXPECT_EQ(resets, 1);
  EXPECT_EQ(reset_by, "keyboard controller");
  EXPECT_EQ(power.keyboard_handler()->Read(0, 1), 0xffu);
}

TEST_F(PowerTest, DebugExitTellsItsCode) {
  power.debug_exit_handler()->Write(0, 1, 42);
  EXPECT_EQ(exit_code, 42);
}

TEST(Pvpanic, SaysWhatItUnderstandsAndReportsOnlyThat) {
  std::vector<uint8_t> reported;
  Pvpanic pvpanic([&](uint8_t events) { reported.push_back(events); });
  EXPECT_EQ(pvpanic.Read(0, 1), uint64_t{Pvpanic::kPanicked | Pvpanic::kCrashLoaded | Pvpanic::kShutdown});
  pvpanic.Write(0, 1, Pvpanic::kPanicked | 0xf0);
  pvpanic.Write(0, 1, 0xf0);
  EXPECT_EQ(reported, std::vector<uint8_t>{Pvpanic::kPanicked});
}

}  // namespace
}  // namespace berth::hw
