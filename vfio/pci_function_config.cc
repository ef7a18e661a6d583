// VfioPciFunction's configuration accesses.
#include "hw/pci/pci_registers.h"
#include "vfio/pci_function.h"
#include "vfio/trace.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;
constexpr uint16_t kPowerControl = 4, kExpressDeviceControl = 8, kAdvancedFeaturesControl = 4,
                   kMsixControl = 2;

// Whether an access touches the register of `length` bytes at `at`.
bool Touches(uint16_t offset, unsigned size, unsigned at, unsigned length) {
  return offset < at + length && at < offset + size;
}

// The byte of the register at `at` that a write gives, or 0.
uint8_t ByteAt(uint16_t offset, unsigned size, uint32_t value, unsigned at) {
  return Touches(offset, size, at, 1) ? static_cast<uint8_t>(value >> (8 * (at - offset))) : 0;
}

}  // namespace

uint16_t VfioPciFunction::command() const { return overlay_.Get<uint16_t>(pci::kCommand); }

uint32_t VfioPciFunction::ReadConfig(uint16_t offset, unsigned size) {
  config_reads_.fetch_add(1, std::memory_order_relaxed);
  if (offset + size > config_.size() && offset >= 0x100) return static_cast<uint32_t>(AllOnes(size));
  uint32_t value;
  if (hw::Bars::Holds(offset)) {
    value = bars_.ReadConfig(offset, size);
  } else {
    const bool ours = overlay_.Covers(offset, size);
    value = overlay_.Merge(offset, size, ours ? 0 : static_cast<uint32_t>(config_region_.Read(offset, size)));
    // MSI's registers lie over what the overlay says, which is its id and link.
    if (layout_.msi && Touches(offset, size, *layout_.msi + 2, msi_shape_->size() - 2)) {
      for (unsigned i = 0; i < size; ++i) {
        const unsigned at = offset + i - *layout_.msi;
        if (at < 2 || at >= msi_shape_->size()) continue;
        value &= ~(0xffu << (8 * i));
        value |= interrupts_->msi()->Read(at, 1) << (8 * i);
      }
    }
  }
  trace::vfio_config_read(name(), offset, size, value);
  return value;
}

void VfioPciFunction::WriteConfig(uint16_t offset, unsigned size, uint32_t value) {
  config_writes_.fetch_add(1, std::memory_order_relaxed);
  trace::vfio_config_write(name(), offset, size, value);
  if (offset + size > config_.size() && offset >= 0x100) return;
  untouched_ = false;
  if (hw::Bars::Holds(offset)) {
    bars_.WriteConfig(offset, size, value);
    return Decode(command());
  }
  if (Touches(offset, size, pci::kCommand, 2)) return WriteCommand(offset, size, value);
  if (layout_.power && Touches(offset, size, *layout_.power + kPowerControl, 2)) {
    return WritePower(offset, size, value);
  }
  if (AsksForReset(offset, size, value)) return Reset();
  if (layout_.msi && Touches(offset, size, *layout_.msi, msi_shape_->size())) {
    // Its id and link are read-only; a write never crosses a dword, nor the end of MSI's dwords.
    const unsigned skipped = offset < *layout_.msi + 2 ? *layout_.msi + 2 - offset : 0;
    if (size > skipped) {
      interrupts_->WriteMsi(offset + skipped - *layout_.msi, size - skipped, value >> (8 * skipped));
    }
    return;
  }
  overlay_.Write(offset, size, value);
  if (layout_.msix && Touches(offset, size, *layout_.msix + kMsixControl, 2)) {
    interrupts_->WriteMsixControl(
        overlay_.Get<uint16_t>(static_cast<uint16_t>(*layout_.msix + kMsixControl)));
  }
  ForwardWrite(offset, size, value);
}

// Bytes of which every bit is ours are no business of the hardware. The others go as they came, as wide as
// they can.
void VfioPciFunction::ForwardWrite(uint16_t offset, unsigned size, uint32_t value) {
  for (unsigned done = 0; done < size;) {
    unsigned piece = 4;
    auto fits = [&] {
      if (piece > size - done || (offset + done) % piece != 0) return false;
      for (unsigned i = 0; i < piece; ++i) {
        if (overlay_.Covers(static_cast<uint16_t>(offset + done + i), 1)) return false;
      }
      return true;
    };
    while (piece > 1 && !fits()) piece /= 2;
    if (fits()) config_region_.Write(offset + done, piece, (value >> (8 * done)) & AllOnes(piece));
    done += piece;
  }
}

// The guest must not see the device's memory while the device does not decode: it is mapped after the
// hardware is told to, and unmapped before it is told not to.
void VfioPciFunction::WriteCommand(uint16_t offset, unsigned size, uint32_t value) {
  const uint16_t before = command();
  overlay_.Write(offset, size, value);
  const uint16_t kept = before & command();
  Decode(kept);
  ForwardWrite(offset, size, value);
  Decode(command());
}

void VfioPciFunction::WritePower(uint16_t offset, unsigned size, uint32_t value) {
  const uint16_t control = static_cast<uint16_t>(*layout_.power + kPowerControl);
  if (Touches(offset, size, control, 1) && (ByteAt(offset, size, value, control) & 3) != 0) {
    awake_ = false;
    Decode(command());
  }
  overlay_.Write(offset, size, value);
  ForwardWrite(offset, size, value);
  // States that the device does not have are not entered.
  awake_ = (config_region_.Read(control, 2) & 3) == 0;
  Decode(command());
}

void VfioPciFunction::Decode(uint16_t command_register) {
  bars_.Update(awake_ && (command_register & pci::kCommandMemory),
               awake_ && (command_register & pci::kCommandIo));
}

bool VfioPciFunction::AsksForReset(uint16_t offset, unsigned size, uint32_t value) const {
  // Bit 15 of Device Control; bit 0 of the Advanced Features control.
  if (layout_.express_reset &&
      ByteAt(offset, size, value, *layout_.express + kExpressDeviceControl + 1) & 0x80) {
    return true;
  }
  return layout_.advanced_features_reset &&
         ByteAt(offset, size, value, *layout_.advanced_features + kAdvancedFeaturesControl) & 1;
}

}  // namespace berth::vfio
