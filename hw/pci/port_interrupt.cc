#include "hw/pci/port_interrupt.h"

namespace berth::hw {
namespace {

constexpr Msi::Shape kShape{};
constexpr unsigned kRegisters = 2;  // The capability's first two bytes are its id and link.
constexpr uint8_t kIntA = 1;

uint16_t AddMsi(ConfigSpace* config) {
  const std::vector<uint8_t> body(kShape.size() - kRegisters);
  return config->AddCapability(pci::kCapMsi, body);
}

}  // namespace

PortInterrupt::PortInterrupt(ConfigSpace* config) : config_(config), at_(AddMsi(config)) {
  config_->Set<uint8_t>(pci::kInterruptPin, kIntA);
}

Status PortInterrupt::Attach(PciSlot* slot) {
  msi_ = TRY(Msi::Create(&slot->interrupts(), kShape));
  slot_ = slot;
  ShowRegisters();
  return Ok();
}

void PortInterrupt::ShowRegisters() {
  for (unsigned i = kRegisters; i < kShape.size(); ++i) {
    config_->Set<uint8_t>(static_cast<uint16_t>(at_ + i), static_cast<uint8_t>(msi_->Read(i, 1)));
  }
}

void PortInterrupt::Written(uint16_t offset, unsigned size, uint32_t value) {
  if (msi_ == nullptr) return;
  const unsigned first = at_ + kRegisters, end = at_ + kShape.size();
  if (offset < end && first < offset + size) {
    const unsigned skipped = offset < first ? first - offset : 0;
    msi_->Write(offset + skipped - at_, size - skipped, value >> (8 * skipped));
    ShowRegisters();
  }
  Follow();
}

void PortInterrupt::Set(bool asserted) {
  asserted_ = asserted;
  if (msi_ != nullptr) Follow();
}

void PortInterrupt::Follow() {
  const bool by_msi = asserted_ && msi_->enabled();
  if (by_msi && !sent_) msi_->vector(0)->Signal();
  sent_ = by_msi;
  const bool by_pin = asserted_ && !msi_->enabled();
  const auto status = config_->Get<uint16_t>(pci::kStatus);
  config_->Set<uint16_t>(pci::kStatus,
                         by_pin ? status | pci::kStatusInterrupt : status & ~pci::kStatusInterrupt);
  const bool line = by_pin && (config_->command() & pci::kCommandIntxDisable) == 0;
  if (line == line_) return;
  line_ = line;
  slot_->interrupts().SetLevel(slot_->IntxGsi(kIntA), this, line);
}

void PortInterrupt::Reset() {
  asserted_ = false;
  if (msi_ == nullptr) return;
  msi_->Reset();
  ShowRegisters();
  Follow();
}

}  // namespace berth::hw
