// The interrupts of an assigned function, from the guest's registers to the device: which of INTx, MSI and
// MSI-X is in use follows what the guest enables.
#pragma once

#include <memory>
#include <optional>

#include "base/event_loop.h"
#include "hw/pci/function.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "vfio/device_interrupts.h"
#include "vfio/trapped_intx.h"

namespace berth::vfio {

// One user at a time (the host bridge serialises configuration accesses), but for MSI-X table accesses, which
// come from several vCPUs.
class FunctionInterrupts {
 public:
  struct Shape {
    uint8_t pin = 0;  // 1 to 4; 0 for none.
    std::optional<hw::Msi::Shape> msi;
    unsigned msix_vectors = 0;
  };

  // Vectors from `slot`, and INTx on, as after a reset. `device` and `slot` outlive this. `loop` (which runs
  // as long as this exists) raises INTx where the kernel cannot.
  static Result<std::unique_ptr<FunctionInterrupts>> Create(const Device* device, const Shape& shape,
                                                            hw::PciSlot* slot, EventLoop* loop);
  ~FunctionInterrupts();

  // What is to be had. A pin whose line cannot be connected is not there.
  bool has_intx() const { return line_ != nullptr || trapped_ != nullptr; }
  // Set where the guest's accesses to the device's memory must trap, at times, and be told to it.
  TrappedIntx* trapped_intx() { return trapped_.get(); }
  hw::Msi* msi() { return msi_.get(); }
  hw::Msix* msix() { return msix_.get(); }

  // The guest wrote these registers.
  void WriteMsi(unsigned offset, unsigned size, uint32_t value);
  void WriteMsixControl(uint16_t control);
  // Everything off and forgotten; INTx stays off until Restart, while the device is reset.
  void Stop();
  void Restart() { Follow(); }

  DeviceInterrupts& device() { return *device_interrupts_; }

 private:
  using Mode = DeviceInterrupts::Mode;
  explicit FunctionInterrupts(const Device* device) : device_(device) {}
  Status CreateIntx(hw::PciSlot* slot, uint8_t pin, EventLoop* loop);
  Status ConnectIntx();
  void DisconnectIntx();
  // Brings the device into the mode that the guest's registers ask for.
  void Follow();
  void Report(const Status& status) const;

  const Device* const device_;
  std::unique_ptr<DeviceInterrupts> device_interrupts_;
  // At most one of them.
  std::unique_ptr<hw::IntxLine> line_;
  std::unique_ptr<TrappedIntx> trapped_;
  std::unique_ptr<hw::Msi> msi_;
  std::unique_ptr<hw::Msix> msix_;
  Mode mode_ = Mode::kNone;
  unsigned msi_active_ = 0;
};

}  // namespace berth::vfio
