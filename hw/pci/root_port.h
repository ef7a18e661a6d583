// A PCI Express root port: one link, one hot-plug slot, one device in it. PCI-to-PCI Bridge 1.2 chapter 3,
// PCI Express Base 5.0, 7.5; the slot is hot_plug_slot.h.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "hw/pci/bus.h"
#include "hw/pci/hot_plug_slot.h"

namespace berth::hw {

struct RootPortOptions {
  std::string name;
  uint8_t port_number = 0;  // Unique on the machine; the slot's number as well.
  Devfn devfn = 0;          // Where it will be on the root bus.
  WindowSizes reserved;
  // removal() has changed by the guest's doing. Called under the host bridge's lock, in the guest's thread:
  // it only takes note.
  std::function<void()> on_removal;
};

// Under the host bridge's lock.
class RootPort : public PciBridge {
 public:
  // Puts a device (of number 0, prepared by the secondary bus) in, and tells the guest.
  virtual void Insert(PciBus::Card card) = 0;
  // Takes it out, whatever the guest does with it. See PciBus::Remove.
  virtual PciBus::Card Remove() = 0;
  // Asks the guest for it. What is released already is not told by on_removal.
  virtual void RequestRemoval() = 0;
  virtual Removal removal() const = 0;
};

std::unique_ptr<RootPort> CreateRootPort(const RootPortOptions& options, const PciBus& parent);

}  // namespace berth::hw
