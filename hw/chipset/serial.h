// A serial port: the 16550A UART (TI TL16C550 data sheet). 8 ports.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>

#include "base/mutex.h"
#include "hw/interrupt/interrupt.h"
#include "hw/memory/region.h"

namespace berth::hw {

// Bytes are sent at once, so the transmitter is always empty; the line's speed and format are kept and mean
// nothing.
class Serial final : public IoHandler {
 public:
  static constexpr uint64_t kPorts = 8;
  static constexpr size_t kMaxInput = 4096;

  // `transmit` gets what the guest sends, a byte at a time, in a vCPU's thread; it must not block.
  Serial(InterruptController* interrupts, uint32_t gsi, std::function<void(uint8_t)> transmit)
      : interrupts_(interrupts), gsi_(gsi), transmit_(std::move(transmit)) {}

  uint64_t Read(uint64_t offset, unsigned size) override;
  void Write(uint64_t offset, unsigned size, uint64_t value) override;

  // Bytes for the guest. Returns how many were taken: no more than fit into kMaxInput unread ones. Any
  // thread.
  size_t Receive(std::span<const uint8_t> bytes);
  void Reset();

 private:
  bool DivisorLatch() const REQUIRES(mutex_) { return line_control_ & 0x80; }
  uint8_t ReadRegister(uint64_t offset) REQUIRES(mutex_);
  uint8_t InterruptIdentification() const REQUIRES(mutex_);
  void UpdateInterrupt() REQUIRES(mutex_);

  InterruptController* const interrupts_;
  const uint32_t gsi_;
  const std::function<void(uint8_t)> transmit_;

  Mutex mutex_;
  std::deque<uint8_t> input_ GUARDED_BY(mutex_);
  uint8_t interrupt_enable_ GUARDED_BY(mutex_) = 0;
  uint8_t fifo_control_ GUARDED_BY(mutex_) = 0;
  uint8_t line_control_ GUARDED_BY(mutex_) = 0;
  uint8_t modem_control_ GUARDED_BY(mutex_) = 0;
  uint8_t scratch_ GUARDED_BY(mutex_) = 0;
  uint16_t divisor_ GUARDED_BY(mutex_) = 1;
  bool transmitter_empty_interrupt_ GUARDED_BY(mutex_) = false;
  bool level_ GUARDED_BY(mutex_) = false;
};

}  // namespace berth::hw
