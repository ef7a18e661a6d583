// Moves a PCI function from its driver to a VFIO driver and back.
#pragma once

#include <string>

#include "base/error.h"
#include "host/control/control.h"
#include "host/pci_address.h"

namespace berth::vfio {

inline constexpr char kVfioPci[] = "vfio-pci";

// What binding changes on one function; store it before Bind.
struct DriverChange {
  host::PciAddress address;
  uint16_t vendor_id = 0, device_id = 0;  // So that a function that took the address later is left alone.
  std::string driver;                     // Wanted: "vfio-pci" or a variant of it.
  std::string original_driver;            // Empty: none.
  std::string original_override;          // Empty: none.

  friend bool operator==(const DriverChange&, const DriverChange&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("address", self.address);
    visit("vendor_id", self.vendor_id);
    visit("device_id", self.device_id);
    visit("driver", self.driver);
    visit("original_driver", self.original_driver);
    visit("original_override", self.original_override);
  }
};

// INVALID_ARGUMENT, NOT_A_VFIO_DRIVER. NOT_FOUND, DEVICE_NOT_FOUND. FAILED_PRECONDITION: NO_IOMMU_GROUP;
// VFIO_DRIVER_NOT_LOADED; DEVICE_IS_BRIDGE; VFS_ENABLED (a physical function whose VFs exist);
// BAR_UNASSIGNED. Whether the whole group is viable is asked separately, of everything the guest gets at
// once: CheckGroup.
Result<DriverChange> PlanBind(const host::HostRoots& roots, const host::PciAddress& address,
                              const std::string& driver = kVfioPci);

// Sets the override, takes the function from its driver, has the kernel probe, and checks who has it now.
// Nothing is done twice. On failure the function is put back as far as the kernel lets us, and the error says
// how far that was. DEADLINE_EXCEEDED, UNBIND_TIMED_OUT: the driver does not let go (the function is to be
// quarantined). FAILED_PRECONDITION: UNBIND_FAILED; BIND_FAILED (who has it instead, if anybody). NOT_FOUND,
// DEVICE_NOT_FOUND.
Status Bind(const host::HostControl& control, const DriverChange& change);

// Puts driver and override back. Ok as well if the function is gone, or is another one by now. Errors as of
// Bind, and FAILED_PRECONDITION, RESTORE_FAILED.
Status Restore(const host::HostControl& control, const DriverChange& change);

}  // namespace berth::vfio
