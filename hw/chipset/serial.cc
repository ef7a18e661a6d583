#include "hw/chipset/serial.h"

#include <algorithm>

namespace berth::hw {
namespace {

// Registers, by offset.
constexpr uint64_t kData = 0, kInterruptEnable = 1, kInterruptId = 2, kLineControl = 3, kModemControl = 4,
                   kLineStatus = 5, kModemStatus = 6, kScratch = 7;

constexpr uint8_t kEnableReceive = 1, kEnableTransmit = 2;
constexpr uint8_t kIdNone = 1, kIdTransmit = 2, kIdReceive = 4, kIdFifos = 0xc0;
constexpr uint8_t kStatusDataReady = 1, kStatusTransmitterIdle = 0x60;
constexpr uint8_t kFifoEnable = 1, kFifoClearReceive = 2;
constexpr uint8_t kModemLoop = 0x10, kModemInterruptGate = 8;
constexpr uint8_t kModemConnected = 0xb0;  // Carrier, data set ready, clear to send.

}  // namespace

uint64_t Serial::Read(uint64_t offset, unsigned size) {
  MutexLock lock(mutex_);
  return size == 1 ? ReadRegister(offset) : AllOnes(size);
}

uint8_t Serial::ReadRegister(uint64_t offset) {
  switch (offset) {
    case kData: {
      if (DivisorLatch()) return divisor_ & 0xff;
      if (input_.empty()) return 0;
      const uint8_t byte = input_.front();
      input_.pop_front();
      UpdateInterrupt();
      return byte;
    }
    case kInterruptEnable:
      return DivisorLatch() ? divisor_ >> 8 : interrupt_enable_;
    case kInterruptId: {
      const uint8_t id = InterruptIdentification();
      if ((id & 0xf) == kIdTransmit) transmitter_empty_interrupt_ = false;  // Reading it acknowledges it.
      UpdateInterrupt();
      return id;
    }
    case kLineControl:
      return line_control_;
    case kModemControl:
      return modem_control_;
    case kLineStatus:
      return kStatusTransmitterIdle | (input_.empty() ? 0 : kStatusDataReady);
    case kModemStatus:
      if (!(modem_control_ & kModemLoop)) return kModemConnected;
      // In loop mode the outputs are wired to the inputs: RTS to CTS, DTR to DSR, OUT1 to RI, OUT2 to DCD.
      return static_cast<uint8_t>((modem_control_ & 2) << 3 | (modem_control_ & 1) << 5 |
                                  (modem_control_ & 0xc) << 4);
    case kScratch:
      return scratch_;
  }
  return 0xff;
}

void Serial::Write(uint64_t offset, unsigned size, uint64_t value) {
  if (size != 1) return;
  const auto byte = static_cast<uint8_t>(value);
  bool send = false;
  {
    MutexLock lock(mutex_);
    switch (offset) {
      case kData:
        if (DivisorLatch()) {
          divisor_ = static_cast<uint16_t>((divisor_ & 0xff00) | byte);
        } else if (modem_control_ & kModemLoop) {
          if (input_.size() < kMaxInput) input_.push_back(byte);
        } else {
          send = true;
        }
        if (!DivisorLatch()) transmitter_empty_interrupt_ = true;
        break;
      case kInterruptEnable:
        if (DivisorLatch()) {
          divisor_ = static_cast<uint16_t>((divisor_ & 0xff) | byte << 8);
        } else {
          if (byte & ~interrupt_enable_ & kEnableTransmit) transmitter_empty_interrupt_ = true;
          interrupt_enable_ = byte & 0xf;
        }
        break;
      case kInterruptId:  // FIFO control, written.
        // Turning the FIFOs on or off clears them; the other bits count only while they are on.
        if (((byte ^ fifo_control_) & kFifoEnable) || ((byte & kFifoEnable) && (byte & kFifoClearReceive))) {
          input_.clear();
        }
        fifo_control_ = byte & kFifoEnable ? byte : 0;
        break;
      case kLineControl:
        line_control_ = byte;
        break;
      case kModemControl:
        modem_control_ = byte & 0x1f;
        break;
      case kScratch:
        scratch_ = byte;
        break;
      default:
        break;
    }
    UpdateInterrupt();
  }
  if (send) transmit_(byte);
}

size_t Serial::Receive(std::span<const uint8_t> bytes) {
  MutexLock lock(mutex_);
  const size_t taken = std::min(bytes.size(), kMaxInput - std::min(input_.size(), kMaxInput));
  input_.insert(input_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
  UpdateInterrupt();
  return taken;
}

void Serial::Reset() {
  MutexLock lock(mutex_);
  input_.clear();
  interrupt_enable_ = fifo_control_ = line_control_ = modem_control_ = scratch_ = 0;
  divisor_ = 1;
  transmitter_empty_interrupt_ = false;
  UpdateInterrupt();
}

uint8_t Serial::InterruptIdentification() const {
  const uint8_t fifos = fifo_control_ & kFifoEnable ? kIdFifos : 0;
  if ((interrupt_enable_ & kEnableReceive) && !input_.empty()) return fifos | kIdReceive;
  if ((interrupt_enable_ & kEnableTransmit) && transmitter_empty_interrupt_) return fifos | kIdTransmit;
  return fifos | kIdNone;
}

void Serial::UpdateInterrupt() {
  const bool gate = (modem_control_ & kModemInterruptGate) && !(modem_control_ & kModemLoop);
  const bool level = gate && !(InterruptIdentification() & kIdNone);
  if (level == level_) return;
  level_ = level;
  interrupts_->SetLevel(gsi_, this, level);
}

}  // namespace berth::hw
