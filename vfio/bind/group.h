// Whether an IOMMU group can be handed to user space, and if not, who is in the way.
//
// A group is viable when every function in it is without a driver or on one that leaves DMA to user space:
// vfio-pci and its variants, pci-stub, and pcieport for bridges (Linux: Documentation/driver-api/vfio.rst,
// driver_managed_dma).
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "host/snapshot.h"

namespace berth::vfio {

// A function that keeps its group from being used.
struct GroupObstacle {
  host::PciAddress address;
  std::string driver;
  std::string
      description;  // "0000:00:1f.3 (Intel … SMBus controller) is used by the host's driver i801_smbus"
  std::string fix;  // "assign it to the same guest, or unbind it from i801_smbus"
};

struct GroupReport {
  int group = 0;
  std::vector<host::PciAddress> members;  // PCI functions.
  std::vector<GroupObstacle> obstacles;   // Empty: the group is, or after the binding will be, viable.
  bool viable() const { return obstacles.empty(); }
};

// Judges the group of `address` as it would be with every function of `assigned` on a VFIO driver. Pure.
// NOT_FOUND, DEVICE_NOT_FOUND; FAILED_PRECONDITION, NO_IOMMU_GROUP, with what would give the function one.
Result<GroupReport> CheckGroup(const host::HostSnapshot& snapshot, const host::PciAddress& address,
                               const std::vector<host::PciAddress>& assigned);

// FAILED_PRECONDITION, IOMMU_GROUP_NOT_VIABLE, naming every obstacle and its fix; Ok for a viable group.
Status RequireViable(const GroupReport& report);

// vfio-pci or a variant, which are called after it: mlx5_vfio_pci, nvgrace-gpu-vfio-pci.
bool IsVfioDriver(const std::string& driver);
// Whether the kernel's driver of this name leaves a function's DMA to user space.
bool IsUserSpaceDriver(const std::string& driver);

}  // namespace berth::vfio
