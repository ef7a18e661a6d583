// The machine's hot-plug ports: which device is in which, and its way in and out while the guest runs.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "hw/memory/address_space.h"
#include "hw/pci/layout.h"
#include "hw/pci/root_port.h"

namespace berth::vmm {

// Control thread, holding nothing that a vCPU or a device's loop waits for: a removal waits until no vCPU is
// in an access to the device.
class HotPlugPorts {
 public:
  // What there is around them; outlives the ports.
  struct Place {
    hw::PciHostBridge* pci = nullptr;
    hw::AddressSpace* memory = nullptr;
    hw::AddressSpace* io = nullptr;
    EventLoop* control = nullptr;
  };
  struct Callbacks {
    // A device has been taken out and is destroyed.
    std::function<void(const std::string& id, const std::string& why)> gone;
    // The guest keeps a device that it was asked for.
    std::function<void(const std::string& id)> declined;
  };
  HotPlugPorts(const Place& place, Callbacks callbacks) : place_(place), callbacks_(std::move(callbacks)) {}

  // While the machine is built: one more port, as this device of the root bus, which is free; `function` is
  // in it from the start, or is null. In the order of their numbers. The guest's address of what is in the
  // port.
  struct NewPort {
    unsigned device = 0;
    hw::WindowSizes reserved;
    std::optional<uint32_t> node;
    std::string id;  // Of `function`.
  };
  Result<std::string> Add(const NewPort& port, std::unique_ptr<hw::PciFunction> function);
  // The layout that the machine was started with: the ports' windows, which stay.
  void SetWindows(const std::vector<hw::FunctionPlan>& layout);
  // Brings a layout up to date with what is in the ports now.
  Status PlanCards(std::vector<hw::FunctionPlan>* layout) const;

  // RESOURCE_EXHAUSTED, NO_FREE_PORT.
  Status CheckFree() const;
  // Into the free port that fits; the guest's address. Errors besides CheckFree's: RESOURCE_EXHAUSTED,
  // PCI_WINDOW_EXHAUSTED; PciFunction::Attach's.
  Result<std::string> Plug(const std::string& id, std::optional<uint32_t> node,
                           std::unique_ptr<hw::PciFunction> function);
  // Asks the guest for a device, or pulls it out. FAILED_PRECONDITION, NOT_HOTPLUGGABLE or UNPLUG_PENDING.
  Status Unplug(const std::string& id, bool force);
  // Whether the guest has been asked for a device that is still there.
  bool Pending(const std::string& id);
  // The guest that was asked is no more: takes out what it was asked for.
  void CompleteRemovals(const std::string& why);

 private:
  struct Port {
    hw::RootPort* port = nullptr;
    hw::Devfn devfn = 0;
    std::optional<uint32_t> node;
    std::string address;  // Of what is in it.
    hw::FunctionPlan windows;
    std::string id;      // Of the device in it; empty while it is free.
    bool asked = false;  // The guest was asked for it, and is not known to have declined.
  };
  Port* Find(const std::string& id);
  hw::Removal RemovalOf(const Port& port) const;
  void FollowRemoval(size_t index);
  void Take(Port& port, const std::string& why);

  const Place place_;
  const Callbacks callbacks_;
  std::vector<Port> ports_;
};

}  // namespace berth::vmm
