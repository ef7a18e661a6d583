// The number of a physical function's virtual functions (sriov_numvfs), of any kind of device.
//
// The kernel changes the number only by way of 0, which destroys every VF. So VFs that are there are kept
// whenever there are enough of them, and the number is not changed while any VF is in use.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "host/control/control.h"
#include "host/pci_address.h"

namespace berth::vfio {

struct VfCountChange {
  host::PciAddress physical_function;
  int count = 0;
  int original_count = 0;
  // Host drivers are kept from the new VFs while they are made.
  bool suppress_probe = true;
  bool original_autoprobe = true;

  bool changes_nothing() const { return count == original_count; }
  friend bool operator==(const VfCountChange&, const VfCountChange&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("physical_function", self.physical_function);
    visit("count", self.count);
    visit("original_count", self.original_count);
    visit("suppress_probe", self.suppress_probe);
    visit("original_autoprobe", self.original_autoprobe);
  }
};

// For at least `count` VFs; if there are enough, the change changes nothing. `claimed` are the VFs the caller
// knows to be in use. NOT_FOUND, DEVICE_NOT_FOUND. INVALID_ARGUMENT, NOT_A_PHYSICAL_FUNCTION. OUT_OF_RANGE,
// TOO_MANY_VFS. FAILED_PRECONDITION, VFS_IN_USE: there are some, too few, and one of them is claimed or has a
// driver.
Result<VfCountChange> PlanVfs(const host::HostRoots& roots, const host::PciAddress& physical_function,
                              int count, const std::vector<host::PciAddress>& claimed);

// Makes the VFs and waits until every one of them is there, with its IOMMU group; their addresses, by index.
// FAILED_PRECONDITION, VFS_NOT_CREATED, with the kernel's reason; DEADLINE_EXCEEDED, VFS_NOT_SETTLED. On
// failure the original number is put back.
Result<std::vector<host::PciAddress>> CreateVfs(const host::HostControl& control,
                                                const VfCountChange& change);

// Puts the original number and autoprobe back. FAILED_PRECONDITION, VFS_IN_USE, while a VF is claimed or has
// a driver. Leaves the number alone if it is no longer the one we set.
Status RestoreVfs(const host::HostControl& control, const VfCountChange& change,
                  const std::vector<host::PciAddress>& claimed);

}  // namespace berth::vfio
