#include "vfio/function_interrupts.h"

#include "base/log.h"

namespace berth::vfio {

Result<std::unique_ptr<FunctionInterrupts>> FunctionInterrupts::Create(const Device* device,
                                                                       const Shape& shape, hw::PciSlot* slot,
                                                                       EventLoop* loop) {
  std::unique_ptr<FunctionInterrupts> made(new FunctionInterrupts(device));
  made->device_interrupts_ = TRY(DeviceInterrupts::Create(device));
  if (shape.msi) made->msi_ = TRY(hw::Msi::Create(&slot->interrupts(), *shape.msi));
  if (shape.msix_vectors > 0) {
    made->msix_ = TRY(hw::Msix::Create(
        &slot->interrupts(), shape.msix_vectors, [raw = made.get()](unsigned vector, bool unmasked) {
          // A vector that the guest masks again stays connected: what it raises waits in its eventfd, and
          // unmasking costs the host nothing.
          if (!unmasked) return;
          raw->Report(raw->device_interrupts_->ConnectMsix(vector, raw->msix_->vector(vector)->eventfd()));
        }));
  }
  if (shape.pin != 0) {
    const Status intx = made->CreateIntx(slot, shape.pin, loop);
    if (!intx) {
      LOG_WARNING("{} has no INTx in the guest: {}", device->name(), intx.error().message());
      made->DisconnectIntx();
      made->device_interrupts_->Disable();
      made->mode_ = Mode::kNone;
      made->line_ = nullptr;
      made->trapped_ = nullptr;
    }
  }
  return made;
}

FunctionInterrupts::~FunctionInterrupts() {
  device_interrupts_->Disable();
  DisconnectIntx();
}

// INTx is tried once here, so that what the kernel's driver cannot do is known before the guest runs.
Status FunctionInterrupts::CreateIntx(hw::PciSlot* slot, uint8_t pin, EventLoop* loop) {
  const uint32_t gsi = slot->IntxGsi(pin);
  line_ = TRY(slot->interrupts().CreateIntxLine(gsi));
  Status connected = ConnectIntx();
  if (connected || connected.error().code() != Code::kUnimplemented) return connected;
  DisconnectIntx();
  line_ = nullptr;
  trapped_ = TRY(TrappedIntx::Create(&slot->interrupts(), gsi, device_interrupts_.get(), loop));
  return ConnectIntx();
}

Status FunctionInterrupts::ConnectIntx() {
  mode_ = Mode::kIntx;
  if (trapped_ != nullptr) return device_interrupts_->EnableIntx(trapped_->trigger_eventfd());
  // The line first: what the device raises finds its way.
  TRY(line_->Enable());
  TRY(device_interrupts_->EnableIntx(line_->trigger_eventfd()));
  if (!device_interrupts_->intx().automasked) return Ok();  // Nothing to unmask.
  return device_interrupts_->ConnectIntxUnmask(line_->resample_eventfd());
}

void FunctionInterrupts::DisconnectIntx() {
  if (trapped_ != nullptr) trapped_->Lower();
  if (line_ == nullptr) return;
  line_->Disable();
  DrainEventFd(line_->trigger_eventfd());
}

void FunctionInterrupts::Report(const Status& status) const {
  if (!status) LOG_WARNING_LIMITED("{}", status.error().message());
}

void FunctionInterrupts::WriteMsi(unsigned offset, unsigned size, uint32_t value) {
  msi_->Write(offset, size, value);
  Follow();
}

void FunctionInterrupts::WriteMsixControl(uint16_t control) {
  constexpr uint16_t kEnable = 1 << 15;
  // The device is in MSI-X mode before its vectors are told, one by one, and until none is left.
  if (control & kEnable) {
    if (mode_ != Mode::kMsix) {
      DisconnectIntx();
      mode_ = Mode::kMsix;
      Report(device_interrupts_->EnableMsix(msix_->vector(0)->eventfd()));
    }
    msix_->SetControl(control);
  } else {
    msix_->SetControl(control);
    Follow();
  }
}

void FunctionInterrupts::Follow() {
  const Mode wanted = msix_ != nullptr && msix_->enabled() ? Mode::kMsix
                      : msi_ != nullptr && msi_->enabled() ? Mode::kMsi
                      : has_intx()                         ? Mode::kIntx
                                                           : Mode::kNone;
  const unsigned active = wanted == Mode::kMsi ? msi_->active() : 0;
  if (wanted == mode_ && active == msi_active_) return;
  if (mode_ == Mode::kIntx) DisconnectIntx();
  mode_ = wanted;
  msi_active_ = active;
  switch (wanted) {
    case Mode::kNone:
      device_interrupts_->Disable();
      break;
    case Mode::kIntx:
      Report(ConnectIntx());
      break;
    case Mode::kMsi: {
      std::vector<int> eventfds;
      for (unsigned i = 0; i < active; ++i) eventfds.push_back(msi_->vector(i)->eventfd());
      const Result<unsigned> enabled = device_interrupts_->EnableMsi(eventfds);
      if (!enabled) {
        Report(Fail(enabled.error()));
      } else if (*enabled < active) {
        LOG_WARNING_LIMITED("{}: the host has {} of {} MSI vectors", device_->name(), *enabled, active);
      }
      break;
    }
    case Mode::kMsix:
      break;  // WriteMsixControl's part.
  }
}

void FunctionInterrupts::Stop() {
  if (mode_ == Mode::kIntx) DisconnectIntx();
  device_interrupts_->Disable();
  mode_ = Mode::kNone;
  msi_active_ = 0;
  if (msix_ != nullptr) msix_->Reset();
  if (msi_ != nullptr) msi_->Reset();
}

}  // namespace berth::vfio
