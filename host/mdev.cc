#include "host/mdev.h"

#include <algorithm>

#include "host/sysfs.h"

namespace berth::host {
namespace {

MdevType ReadType(const SysfsDirectory& directory, const std::string& id) {
  return {.id = id,
          .name = directory.Text("name").value_or(""),
          .description = directory.Text("description").value_or(""),
          .device_api = directory.Text("device_api").value_or(""),
          .available_instances = static_cast<int>(
              std::clamp<int64_t>(directory.Number("available_instances").value_or(0), 0, INT32_MAX))};
}

std::optional<int> SmallNumber(std::optional<int64_t> number) {
  if (!number || *number < 0 || *number > INT32_MAX) return std::nullopt;
  return static_cast<int>(*number);
}

}  // namespace

const MdevType* MdevParent::FindType(const std::string& id) const {
  const auto found =
      std::find_if(types.begin(), types.end(), [&](const MdevType& type) { return type.id == id; });
  return found == types.end() ? nullptr : &*found;
}

std::vector<MdevParent> ReadMdevParents(const HostRoots& roots) {
  std::vector<MdevParent> parents;
  const SysfsDirectory bus(roots.sys + "/class/mdev_bus");
  for (const std::string& name : bus.Names()) {
    const SysfsDirectory directory = bus.Enter(name);
    if (!directory.exists()) continue;
    MdevParent parent{.name = name};
    if (const auto address = PciAddress::Parse(name)) parent.address = *address;
    parent.numa_node = SmallNumber(directory.Number("numa_node"));
    const SysfsDirectory types = directory.Enter("mdev_supported_types");
    for (const std::string& id : types.Names()) {
      if (const SysfsDirectory type = types.Enter(id); type.exists())
        parent.types.push_back(ReadType(type, id));
    }
    parents.push_back(std::move(parent));
  }
  return parents;
}

std::vector<MdevInstance> ReadMdevInstances(const HostRoots& roots) {
  std::vector<MdevInstance> instances;
  const SysfsDirectory devices(roots.sys + "/bus/mdev/devices");
  for (const std::string& uuid : devices.Names()) {
    const SysfsDirectory directory = devices.Enter(uuid);
    if (!directory.exists()) continue;
    MdevInstance instance{.uuid = uuid,
                          .type = directory.LinkName("mdev_type").value_or(""),
                          .driver = directory.LinkName("driver").value_or("")};
    // .../PARENT/UUID
    std::string place = devices.Link(uuid).value_or("");
    place.resize(place.rfind('/') == std::string::npos ? 0 : place.rfind('/'));
    instance.parent = place.substr(place.rfind('/') + 1);
    if (const auto group = directory.LinkName("iommu_group"))
      instance.iommu_group = SmallNumber(ParseNumber(*group));
    instances.push_back(std::move(instance));
  }
  return instances;
}

}  // namespace berth::host
