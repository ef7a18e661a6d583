// Opens VFIO's files, to be handed to a VMM.
#pragma once

#include <string>

#include "base/error.h"
#include "base/unique_fd.h"
#include "host/pci_address.h"
#include "host/roots.h"

namespace berth::vfio {

// The group of a PCI function, or of a mediated device by its UUID. NOT_FOUND, DEVICE_NOT_FOUND;
// FAILED_PRECONDITION, NO_IOMMU_GROUP.
Result<int> GroupOf(const host::HostRoots& roots, const host::PciAddress& address);
Result<int> GroupOf(const host::HostRoots& roots, const std::string& mdev_uuid);

// /dev/vfio/vfio. FAILED_PRECONDITION, VFIO_NOT_AVAILABLE, if the module is not loaded or speaks another
// version.
Result<UniqueFd> OpenContainer(const host::HostRoots& roots);

// /dev/vfio/GROUP, which one process can hold at a time. FAILED_PRECONDITION: GROUP_BUSY, with the process
// that holds it where it can be found; GROUP_HAS_NO_VFIO_DEVICE (nothing in it is on a VFIO driver);
// IOMMU_GROUP_NOT_VIABLE.
Result<UniqueFd> OpenGroup(const host::HostRoots& roots, int group);

}  // namespace berth::vfio
