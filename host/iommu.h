// The host's IOMMU groups: /sys/kernel/iommu_groups.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/pci_address.h"
#include "host/roots.h"

namespace berth::host {

// A range of I/O addresses that a guest's memory must keep clear of.
struct ReservedRegion {
  uint64_t first = 0, last = 0;  // Both inside.
  std::string type;              // "direct", "reserved", "msi"…

  friend bool operator==(const ReservedRegion&, const ReservedRegion&) = default;
};

struct IommuGroup {
  int id = 0;
  std::string type;                   // "DMA", "identity"…; empty if the kernel does not say.
  std::vector<PciAddress> functions;  // Sorted.
  std::vector<std::string>
      others;  // Members that are no PCI functions: a mediated device's UUID, platform devices.
  std::vector<ReservedRegion> reserved_regions;
};

// By id. Empty on a host without an IOMMU. Never fails.
std::vector<IommuGroup> ReadIommuGroups(const HostRoots& roots);

}  // namespace berth::host
