// The host's mediated devices: /sys/class/mdev_bus and /sys/bus/mdev/devices. Reads only; see mdev/ to make
// one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "host/pci_address.h"
#include "host/roots.h"

namespace berth::host {

struct MdevType {
  std::string id;           // "nvidia-742", "mtty-2"
  std::string name;         // For people; may be empty.
  std::string description;  // May be empty.
  std::string device_api;   // "vfio-pci"
  int available_instances = 0;
};

struct MdevParent {
  std::string name;                   // As in mdev_bus: "0000:08:01.7", "mtty"
  std::optional<PciAddress> address;  // If it is a PCI function.
  std::optional<int> numa_node;
  std::vector<MdevType> types;  // By id.

  const MdevType* FindType(const std::string& id) const;
};

struct MdevInstance {
  std::string uuid;  // Lower case.
  std::string parent;
  std::string type;
  std::string driver;  // "vfio_mdev", "mtty"…; empty: none.
  std::optional<int> iommu_group;
};

// By name and by UUID. Never fail.
std::vector<MdevParent> ReadMdevParents(const HostRoots& roots);
std::vector<MdevInstance> ReadMdevInstances(const HostRoots& roots);

}  // namespace berth::host
