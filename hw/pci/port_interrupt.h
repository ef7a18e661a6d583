// The one interrupt of a port: MSI where the guest turns it on, else INTA. PCI Express Base 5.0, 6.1 and
// 7.7.1.
#pragma once

#include <memory>

#include "hw/pci/config_space.h"
#include "hw/pci/function.h"
#include "hw/pci/msi.h"

namespace berth::hw {

// One user at a time (the host bridge serialises configuration accesses).
class PortInterrupt {
 public:
  // Adds the MSI capability and the pin to `config`, which outlives this.
  explicit PortInterrupt(ConfigSpace* config);
  // `slot` outlives this; before, nothing interrupts.
  Status Attach(PciSlot* slot);

  // The guest wrote this.
  void Written(uint16_t offset, unsigned size, uint32_t value);
  // Whether there is something to interrupt for. By MSI each time that it comes to be, by INTA as long as it
  // is.
  void Set(bool asserted);
  void Reset();

 private:
  void Follow();
  void ShowRegisters();

  ConfigSpace* const config_;
  const uint16_t at_;  // Of the capability.
  PciSlot* slot_ = nullptr;
  std::unique_ptr<Msi> msi_;
  bool asserted_ = false;
  bool sent_ = false;  // By MSI.
  bool line_ = false;  // INTA's level.
};

}  // namespace berth::hw
