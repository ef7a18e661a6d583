// The host as facts, read at one moment: values that placement, admission and the API work on.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "host/cpu.h"
#include "host/iommu.h"
#include "host/mdev.h"
#include "host/mdev_definition.h"
#include "host/network.h"
#include "host/numa.h"
#include "host/pci.h"
#include "host/roots.h"

namespace berth::host {

struct HostSnapshot {
  std::string kernel_release;
  // Another value after every boot: what was recorded before then no longer holds.
  std::string boot_id;
  CpuTopology cpus;
  MemoryTopology memory;
  std::vector<PciFunction> functions;    // By address.
  std::vector<IommuGroup> groups;        // By id.
  std::vector<MdevParent> mdev_parents;  // By name.
  std::vector<MdevInstance> mdevs;       // By UUID.
  std::vector<MdevDefinition> mdev_definitions;
  std::vector<NetInterface> interfaces;  // By name.

  const PciFunction* FindFunction(const PciAddress& address) const;
  const IommuGroup* FindGroup(int id) const;
  const MdevParent* FindMdevParent(const std::string& name) const;
  const MdevInstance* FindMdev(const std::string& uuid) const;
  const MdevDefinition* FindMdevDefinition(const std::string& uuid) const;
};

// NOT_FOUND if there is no sysfs at all; everything else that is missing is left out of the snapshot.
Result<HostSnapshot> ReadHost(const HostRoots& roots);

}  // namespace berth::host
