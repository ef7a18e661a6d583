// How the guest ends or restarts its machine, and how the host asks it to: the sleep and reset registers of
// hardware- reduced ACPI (ACPI 6.5, 4.8.3.7 and 4.8.3.6), the generic event device behind the power button
// (5.6.9), the old ways to reset a PC, and a debug-exit port.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "hw/interrupt/interrupt.h"
#include "hw/memory/region.h"

namespace berth::hw {

// What the guest asked of its machine. Handlers are called in a vCPU's thread and must not wait for it.
struct PowerRequests {
  std::function<void()> power_off;
  std::function<void(const char* how)> reset;
  std::function<void(uint8_t code)> debug_exit;
};

// Each handler covers its own ports; see hw/memory/address_map.h.
class Power {
 public:
  static constexpr uint8_t kSleepTypeS5 = 5;       // SLP_TYP for soft-off, as the DSDT's _S5 says.
  static constexpr uint8_t kResetValue = 0x06;     // To port 0xcf9 (reset control: full reset).
  static constexpr uint8_t kEventPowerButton = 1;  // Bit 0 of the event register.

  Power(InterruptController* interrupts, uint32_t event_gsi, PowerRequests requests);

  // Presses the power button. Any thread.
  void PressButton();

  IoHandler* sleep_handler() { return &sleep_; }        // 3 ports: sleep control, sleep status, events.
  IoHandler* reset_handler() { return &reset_; }        // 1 port, 0xcf9.
  IoHandler* keyboard_handler() { return &keyboard_; }  // 1 port, 0x64: only the reset command of the 8042.
  IoHandler* debug_exit_handler() { return &debug_exit_; }

 private:
  // A port handler that is a pair of functions.
  struct Ports final : IoHandler {
    Ports(std::function<uint8_t(uint64_t)> r, std::function<void(uint64_t, uint8_t)> w)
        : read(std::move(r)), write(std::move(w)) {}
    uint64_t Read(uint64_t offset, unsigned size) override {
      return size == 1 ? read(offset) : AllOnes(size);
    }
    void Write(uint64_t offset, unsigned, uint64_t value) override {
      write(offset, static_cast<uint8_t>(value));
    }
    const std::function<uint8_t(uint64_t)> read;
    const std::function<void(uint64_t, uint8_t)> write;
  };

  void Reset(const char* how);
  uint8_t TakeEvents();

  InterruptController* const interrupts_;
  const uint32_t event_gsi_;
  const PowerRequests requests_;
  std::atomic<uint8_t> events_{0};
  Ports sleep_, reset_, keyboard_, debug_exit_;
};

}  // namespace berth::hw
