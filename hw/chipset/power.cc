#include "hw/chipset/power.h"

#include "hw/chipset/trace.h"

namespace berth::hw {
namespace {

// SLEEP_CONTROL_REG: SLP_TYPx in bits 2 to 4, SLP_EN in bit 5.
constexpr uint8_t kSleepEnable = 1 << 5;
constexpr uint64_t kSleepControl = 0, kEvents = 2;
constexpr uint8_t kResetCpu = 1 << 2;          // Reset control register: the write that does it.
constexpr uint8_t kKeyboardPulseReset = 0xfe;  // 8042 command.

}  // namespace

Power::Power(InterruptController* interrupts, uint32_t event_gsi, PowerRequests requests)
    : interrupts_(interrupts),
      event_gsi_(event_gsi),
      requests_(std::move(requests)),
      sleep_([this](uint64_t offset) { return offset == kEvents ? TakeEvents() : uint8_t{0}; },
             [this](uint64_t offset, uint8_t value) {
               if (offset != kSleepControl || !(value & kSleepEnable)) return;
               const uint8_t type = value >> 2 & 7;
               trace::power_sleep(type);
               if (type == kSleepTypeS5) requests_.power_off();
             }),
      reset_([](uint64_t) { return uint8_t{0}; },
             [this](uint64_t, uint8_t value) {
               if (!(value & kResetCpu)) return;
               Reset("reset register");
             }),
      keyboard_([](uint64_t) { return uint8_t{0xff}; },
                [this](uint64_t, uint8_t value) {
                  if (value != kKeyboardPulseReset) return;
                  Reset("keyboard controller");
                }),
      debug_exit_([](uint64_t) { return uint8_t{0}; },
                  [this](uint64_t, uint8_t value) { requests_.debug_exit(value); }) {}

void Power::Reset(const char* how) {
  trace::power_reset(how);
  requests_.reset(how);
}

void Power::PressButton() {
  trace::power_button_pressed(event_gsi_);
  events_.fetch_or(kEventPowerButton);
  interrupts_->SetLevel(event_gsi_, this, true);
}

// The guest's _EVT method reads which events there are; reading takes them, and the line falls.
uint8_t Power::TakeEvents() {
  interrupts_->SetLevel(event_gsi_, this, false);
  return events_.exchange(0);
}

}  // namespace berth::hw
