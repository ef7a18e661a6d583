#include "server/api/host_view.h"

#include <algorithm>
#include <array>

#include <google/protobuf/util/time_util.h>

#include "server/guest/device_key.h"
#include "server/guest/state.h"
#include "vfio/bind/group.h"

namespace berth::server {
namespace {

int CoreOf(const host::Cpu& cpu) { return cpu.siblings.empty() ? -1 : *cpu.siblings.begin(); }

std::string OwnerOfCpu(const Ledger& ledger, int cpu) {
  for (const Reservation& reservation : ledger) {
    if (reservation.dedicated_cpus.Contains(cpu)) return reservation.guest;
  }
  return "";
}

int64_t ReservedOn(const Ledger& ledger, int node) {
  int64_t reserved = 0;
  for (const Reservation& reservation : ledger) {
    for (const Reservation::Memory& memory : reservation.memory) {
      if (memory.host_node == node) reserved += static_cast<int64_t>(memory.size_bytes);
    }
  }
  return reserved;
}

void AddNode(const host::NumaNode& node, const Ledger& ledger, v1::Host* host) {
  v1::HostNode* shown = host->add_nodes();
  shown->set_id(node.id);
  shown->set_cpus(node.cpus.ToString());
  shown->set_memory_total_bytes(static_cast<int64_t>(node.memory_total_bytes));
  shown->set_memory_available_bytes(static_cast<int64_t>(node.memory_available_bytes));
  shown->set_memory_reserved_bytes(ReservedOn(ledger, node.id));
  for (const host::HugePagePool& pool : node.huge_pages) {
    v1::HugePagePool* shown_pool = shown->add_huge_pages();
    shown_pool->set_page_size_bytes(static_cast<int64_t>(pool.page_size_bytes));
    shown_pool->set_total_pages(static_cast<int64_t>(pool.total_pages));
    shown_pool->set_free_pages(static_cast<int64_t>(pool.free_pages));
  }
  for (int distance : node.distances) shown->add_distances(distance);
}

v1::HostDevice::State StateFor(const DeviceOwner& owner) {
  if (owner.state == v1::Guest::STOPPING || owner.state == v1::Guest::DELETING)
    return v1::HostDevice::RELEASING;
  if (IsActive(owner.state)) return v1::HostDevice::ASSIGNED;
  return owner.restored ? v1::HostDevice::CLAIMED : v1::HostDevice::QUARANTINED;
}

void ShowState(const DeviceLedger& ledger, const std::string& key, v1::HostDevice* device) {
  const auto owner = ledger.owners.find(key);
  if (owner != ledger.owners.end()) {
    device->set_guest(owner->second.guest);
    device->set_state(StateFor(owner->second));
    if (device->state() == v1::HostDevice::QUARANTINED) {
      device->set_obstacle(
          fmt::format("it is not yet as it was before {}, whose error says why: start or delete "
                      "{} to try again",
                      owner->second.guest, owner->second.guest));
    }
    *device->mutable_state_time() = owner->second.since;
  } else {
    device->set_state(device->obstacle().empty() ? v1::HostDevice::AVAILABLE : v1::HostDevice::UNASSIGNABLE);
  }
  for (const Quarantined& quarantined : ledger.quarantined) {
    if (quarantined.device != key) continue;
    device->set_state(v1::HostDevice::QUARANTINED);
    device->set_obstacle(fmt::format("quarantined ({}): {}", quarantined.reason, quarantined.message));
    *device->mutable_state_time() =
        google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(quarantined.since_us);
  }
}

std::string ObstacleFor(const host::HostSnapshot& snapshot, const host::PciFunction& function) {
  const auto report = vfio::CheckGroup(snapshot, function.address, {function.address});
  if (!report) return report.error().message();
  const Status viable = vfio::RequireViable(*report);
  return viable ? "" : viable.error().message();
}

void AddTypes(const host::MdevParent& parent, v1::HostDevice* device) {
  for (const host::MdevType& type : parent.types) {
    v1::MediatedDeviceType* shown = device->add_mdev_types();
    shown->set_id(type.id);
    shown->set_name(type.name);
    shown->set_available_instances(type.available_instances);
    shown->set_description(type.description);
    shown->set_device_api(type.device_api);
  }
}

void ShowVgpu(const host::VendorVgpu& vgpu, v1::HostDevice* device) {
  for (const host::VgpuType& type : vgpu.creatable_types) {
    v1::MediatedDeviceType* shown = device->add_mdev_types();
    shown->set_id(VgpuTypeName(type.id));
    shown->set_name(type.name);
    shown->set_available_instances(1);  // The function becomes it.
    shown->set_device_api("vfio-pci");
  }
  if (vgpu.current_type != 0) device->mutable_pci()->set_vgpu_type(VgpuTypeName(vgpu.current_type));
}

void ShowBars(const std::vector<host::PciBar>& bars, v1::HostPciFunction* pci) {
  for (const host::PciBar& bar : bars) {
    if (bar.index == host::kRomIndex) {
      pci->set_rom_size_bytes(static_cast<int64_t>(bar.size_bytes));
      continue;
    }
    v1::HostPciBar* shown = pci->add_bars();
    shown->set_index(bar.index);
    shown->set_size_bytes(static_cast<int64_t>(bar.size_bytes));
    shown->set_io(bar.io);
    shown->set_is_64bit(bar.is_64bit);
    shown->set_prefetchable(bar.prefetchable);
    shown->set_placed(bar.address != 0);
  }
}

void ShowLink(const host::PciLink& link, v1::HostPciLink* shown) {
  shown->set_speed_mtps(link.speed_mtps);
  shown->set_width(link.width);
  shown->set_max_speed_mtps(link.max_speed_mtps);
  shown->set_max_width(link.max_width);
}

std::string Ids(uint16_t vendor, uint16_t device) { return fmt::format("{:04x}:{:04x}", vendor, device); }

v1::HostDevice ToPciDevice(const host::HostSnapshot& snapshot, const host::PciFunction& function,
                           const DeviceLedger& ledger) {
  v1::HostDevice device;
  device.set_name(PciDeviceName(function.address));
  device.set_description(host::Describe(function));
  device.set_driver(function.driver);
  if (function.numa_node) device.set_host_node(*function.numa_node);
  if (function.iommu_group) device.set_iommu_group(*function.iommu_group);
  v1::HostPciFunction* pci = device.mutable_pci();
  pci->set_address(function.address.ToString());
  pci->set_id(Ids(function.vendor_id, function.device_id));
  if (function.subsystem_vendor_id != 0) {
    pci->set_subsystem_id(Ids(function.subsystem_vendor_id, function.subsystem_device_id));
  }
  pci->set_class_code(fmt::format("{:06x}", function.class_code));
  pci->set_class_name(function.class_name);
  if (function.physical_function) pci->set_physical_function(function.physical_function->ToString());
  if (function.vf_index) pci->set_vf_index(*function.vf_index);
  if (function.sriov) {
    pci->set_total_vfs(function.sriov->total_vfs);
    pci->set_num_vfs(function.sriov->num_vfs);
    pci->set_vf_offset(function.sriov->offset);
    pci->set_vf_stride(function.sriov->stride);
  }
  for (const std::string& interface : function.interfaces) pci->add_interfaces(interface);
  for (const std::string& method : function.reset_methods) pci->add_reset_methods(method);
  if (function.parent) pci->set_parent(function.parent->ToString());
  ShowBars(function.bars, pci);
  if (function.link) ShowLink(*function.link, pci->mutable_link());
  pci->set_boot_display(function.boot_vga);
  pci->set_power_state(function.power_state);
  pci->set_vfio_driver(function.vfio_driver);
  if (function.vgpu) ShowVgpu(*function.vgpu, &device);
  if (const auto* parent = snapshot.FindMdevParent(function.address.ToString())) AddTypes(*parent, &device);
  device.set_obstacle(ObstacleFor(snapshot, function));
  ShowState(ledger, KeyOf(function), &device);
  return device;
}

v1::HostDevice ToMdev(const DeviceLedger& ledger, const std::string& uuid, const std::string& parent,
                      const std::string& type) {
  v1::HostDevice device;
  device.set_name(MdevDeviceName(uuid));
  device.set_description(fmt::format("{} of {}", type, parent));
  device.mutable_mdev()->set_uuid(uuid);
  device.mutable_mdev()->set_parent(parent);
  device.mutable_mdev()->set_type(type);
  ShowState(ledger, MdevKey(uuid), &device);
  return device;
}

}  // namespace

v1::Host ToHost(const host::HostSnapshot& snapshot, const Ledger& ledger, bool kvm_available,
                const std::string& version) {
  v1::Host host;
  host.set_name("host");
  host.set_kernel_release(snapshot.kernel_release);
  host.set_boot_id(snapshot.boot_id);
  host.set_daemon_version(version);
  host.set_online_cpu_count(static_cast<int>(snapshot.cpus.online.size()));
  for (const host::NumaNode& node : snapshot.memory.nodes) AddNode(node, ledger, &host);
  for (const host::Cpu& cpu : snapshot.cpus.cpus) {
    v1::HostCpu* shown = host.add_cpus();
    shown->set_id(cpu.id);
    shown->set_online(cpu.online);
    shown->set_socket(cpu.socket);
    shown->set_core(CoreOf(cpu));
    shown->set_node(cpu.node);
    shown->set_dedicated_to(OwnerOfCpu(ledger, cpu.id));
  }
  for (const host::NetInterface& interface : snapshot.interfaces) {
    if (interface.bridge) host.add_bridges(interface.name);
  }
  host.set_kvm_available(kvm_available);
  host.set_iommu_available(!snapshot.groups.empty());
  return host;
}

std::vector<v1::HostDevice> ToHostDevices(const host::HostSnapshot& snapshot, const DeviceLedger& ledger) {
  std::vector<v1::HostDevice> devices;
  for (const host::PciFunction& function : snapshot.functions) {
    if (!function.is_bridge()) devices.push_back(ToPciDevice(snapshot, function, ledger));
  }
  for (const host::MdevParent& parent : snapshot.mdev_parents) {
    if (parent.address) continue;  // Shown with its PCI function.
    v1::HostDevice& device = devices.emplace_back();
    device.set_name(MdevParentName(parent.name));
    device.set_description(fmt::format("{} (parent of mediated devices)", parent.name));
    if (parent.numa_node) device.set_host_node(*parent.numa_node);
    device.mutable_mdev_parent()->set_parent(parent.name);
    AddTypes(parent, &device);
    device.set_obstacle("only its mediated devices can be assigned");
    device.set_state(v1::HostDevice::UNASSIGNABLE);
  }
  for (const host::MdevInstance& instance : snapshot.mdevs) {
    v1::HostDevice& device =
        devices.emplace_back(ToMdev(ledger, instance.uuid, instance.parent, instance.type));
    device.set_driver(instance.driver);
    if (instance.iommu_group) device.set_iommu_group(*instance.iommu_group);
  }
  for (const host::MdevDefinition& definition : snapshot.mdev_definitions) {
    if (snapshot.FindMdev(definition.uuid) != nullptr) continue;
    v1::HostDevice& device =
        devices.emplace_back(ToMdev(ledger, definition.uuid, definition.parent, definition.type));
    device.set_description(device.description() + " (defined with mdevctl, made when it is used)");
  }
  return devices;
}

std::string KeyOf(const v1::HostDevice& device) {
  if (device.has_mdev()) return MdevKey(device.mdev().uuid());
  const auto physical = host::PciAddress::Parse(device.pci().physical_function());
  if (physical && device.pci().has_vf_index()) return VfKey(*physical, device.pci().vf_index());
  const auto address = host::PciAddress::Parse(device.pci().address());
  return address ? PciKey(*address) : "";
}

bool IsDeviceField(std::string_view field) {
  static constexpr std::array<std::string_view, 9> kFields = {
      "name",       "state",       "driver",         "guest",
      "pci.id",     "pci.address", "pci.class_code", "pci.physical_function",
      "mdev.parent"};
  return std::find(kFields.begin(), kFields.end(), field) != kFields.end();
}

std::string DeviceField(const v1::HostDevice& device, std::string_view field) {
  if (field == "name") return device.name();
  if (field == "state") return v1::HostDevice::State_Name(device.state());
  if (field == "driver") return device.driver();
  if (field == "guest") return device.guest();
  if (field == "pci.id") return device.pci().id();
  if (field == "pci.address") return device.pci().address();
  if (field == "pci.class_code") return device.pci().class_code();
  if (field == "pci.physical_function") return device.pci().physical_function();
  return device.mdev().parent();
}

}  // namespace berth::server
