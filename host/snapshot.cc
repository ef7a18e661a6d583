#include "host/snapshot.h"

#include <algorithm>

#include "host/module_aliases.h"
#include "host/sysfs.h"

namespace berth::host {
namespace {

template <typename T, typename Key>
const T* FindBy(const std::vector<T>& values, Key T::*member, const Key& wanted) {
  const auto found =
      std::find_if(values.begin(), values.end(), [&](const T& value) { return value.*member == wanted; });
  return found == values.end() ? nullptr : &*found;
}

}  // namespace

const PciFunction* HostSnapshot::FindFunction(const PciAddress& address) const {
  return FindBy(functions, &PciFunction::address, address);
}
const IommuGroup* HostSnapshot::FindGroup(int id) const { return FindBy(groups, &IommuGroup::id, id); }
const MdevParent* HostSnapshot::FindMdevParent(const std::string& name) const {
  return FindBy(mdev_parents, &MdevParent::name, name);
}
const MdevInstance* HostSnapshot::FindMdev(const std::string& uuid) const {
  return FindBy(mdevs, &MdevInstance::uuid, uuid);
}

const MdevDefinition* HostSnapshot::FindMdevDefinition(const std::string& uuid) const {
  return FindBy(mdev_definitions, &MdevDefinition::uuid, uuid);
}

Result<HostSnapshot> ReadHost(const HostRoots& roots) {
  if (!SysfsDirectory(roots.sys).exists()) {
    return Fail(Error(Code::kNotFound, fmt::format("there is no sysfs at {}", roots.sys))
                    .Reason("NO_SYSFS")
                    .With("path", roots.sys));
  }
  const SysfsDirectory kernel(roots.proc + "/sys/kernel");
  HostSnapshot snapshot;
  snapshot.kernel_release = kernel.Text("osrelease").value_or("");
  snapshot.boot_id = kernel.Enter("random").Text("boot_id").value_or("");
  snapshot.cpus = ReadCpus(roots);
  snapshot.memory = ReadMemory(roots);
  snapshot.functions = ReadPciFunctions(roots);
  const auto aliases = LoadModuleAliases(roots, snapshot.kernel_release);
  for (PciFunction& function : snapshot.functions) function.vfio_driver = aliases->VfioDriverFor(function);
  snapshot.groups = ReadIommuGroups(roots);
  snapshot.mdev_parents = ReadMdevParents(roots);
  snapshot.mdevs = ReadMdevInstances(roots);
  snapshot.mdev_definitions = ReadMdevDefinitions(roots);
  snapshot.interfaces = ReadNetInterfaces(roots);
  return snapshot;
}

}  // namespace berth::host
