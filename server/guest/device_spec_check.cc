#include "server/guest/device_spec_check.h"

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "host/pci_address.h"
#include "mdev/mdev.h"
#include "net/host/mac_address.h"
#include "server/guest/field_error.h"
#include "server/volume/volume_name.h"

namespace berth::server {
namespace {

constexpr int kMaxDisks = 32;
constexpr int64_t kMaxDiskBytes = int64_t{1} << 56;
constexpr int kMaxBeneathPaths = 64;
constexpr int kMaxNetworkInterfaces = 16;
constexpr int kMaxAssignedDevices = 32;
constexpr int kMaxQueues = 16;
constexpr size_t kMaxSerialBytes = 20;  // VIRTIO_BLK_ID_BYTES
constexpr size_t kMaxDeviceIdBytes = 31;
constexpr size_t kMaxInterfaceNameBytes = 15;  // IFNAMSIZ, less its end.

bool IsWord(std::string_view text, size_t max_bytes) {
  if (text.empty() || text.size() > max_bytes) return false;
  for (char c : text) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    if (!good) return false;
  }
  return true;
}

Status CheckLimits(const std::string& field, const v1::DiskIoLimits& limits) {
  const struct {
    const char* name;
    int64_t rate, burst;
  } both[] = {{"operations", limits.operations_per_second(), limits.operations_burst()},
              {"bytes", limits.bytes_per_second(), limits.bytes_burst()}};
  for (const auto& [name, rate, burst] : both) {
    if (rate < 0) return BadField(fmt::format("{}.{}_per_second", field, name), "{} is less than 0", rate);
    if (burst < 0) return BadField(fmt::format("{}.{}_burst", field, name), "{} is less than 0", burst);
    if (burst != 0 && rate == 0)
      return BadField(fmt::format("{}.{}_burst", field, name), "without a limit there is no burst");
  }
  return Ok();
}

// Where the image is: a path, or a volume that says the rest itself.
Status CheckImage(const std::string& field, const v1::DiskSpec& disk) {
  if (!v1::DiskSpec::Format_IsValid(disk.format()))
    return BadField(field + ".format", "unknown value {}", int{disk.format()});
  if (disk.beneath_paths_size() > kMaxBeneathPaths)
    return BadField(field + ".beneath_paths", "at most {}", kMaxBeneathPaths);
  for (int i = 0; i < disk.beneath_paths_size(); ++i) {
    TRY(CheckPathField(fmt::format("{}.beneath_paths[{}]", field, i), disk.beneath_paths(i)));
  }
  if (disk.volume().empty()) return CheckPathField(field + ".path", disk.path());
  if (!VolumeName::Parse(disk.volume())) {
    return BadField(field + ".volume", "\"{}\" is no volume's name, pools/POOL/volumes/VOLUME",
                    disk.volume());
  }
  if (!disk.path().empty()) return BadField(field + ".path", "it is a volume, {}", disk.volume());
  if (disk.format() != v1::DiskSpec::FORMAT_UNSPECIFIED)
    return BadField(field + ".format", "a volume says itself what it is");
  if (disk.beneath_paths_size() > 0)
    return BadField(field + ".beneath_paths", "a volume says itself what it stands on");
  return Ok();
}

// What the guest takes it for.
Status CheckKind(const std::string& field, const v1::DiskSpec& disk) {
  if (!v1::DiskSpec::Bus_IsValid(disk.bus()))
    return BadField(field + ".bus", "unknown value {}", int{disk.bus()});
  if (!v1::DiskSpec::Kind_IsValid(disk.kind()))
    return BadField(field + ".kind", "unknown value {}", int{disk.kind()});
  if (BusOf(disk) == v1::DiskSpec::VIRTIO_SCSI && disk.queue_count() != 0)
    return BadField(field + ".queue_count", "disks on VIRTIO_SCSI share the queues of their controller");
  if (disk.kind() != v1::DiskSpec::CD_ROM) return Ok();
  if (BusOf(disk) != v1::DiskSpec::VIRTIO_SCSI) return BadField(field + ".bus", "a CD-ROM is on VIRTIO_SCSI");
  if (!disk.read_only()) return BadField(field + ".read_only", "a CD-ROM is only read: it must be true");
  if (disk.logical_block_size_bytes() != 0)
    return BadField(field + ".logical_block_size_bytes", "a CD-ROM has blocks of 2048 bytes");
  if (disk.physical_block_size_bytes() != 0)
    return BadField(field + ".physical_block_size_bytes", "a CD-ROM has blocks of 2048 bytes");
  return Ok();
}

Status CheckDisk(const std::string& field, const v1::DiskSpec& disk) {
  TRY(CheckImage(field, disk));
  TRY(CheckKind(field, disk));
  if (disk.serial().size() > kMaxSerialBytes)
    return BadField(field + ".serial", "is over {} bytes", kMaxSerialBytes);
  for (char c : disk.serial()) {
    if (c < 0x20 || c > 0x7e) return BadField(field + ".serial", "is not printable ASCII");
  }
  const int logical = disk.logical_block_size_bytes();
  if (logical != 0 && logical != 512 && logical != 4096) {
    return BadField(field + ".logical_block_size_bytes", "{} is neither 512 nor 4096", logical);
  }
  const int physical = disk.physical_block_size_bytes();
  const int least = logical == 0 ? 512 : logical;
  if (physical != 0 && (physical < least || physical > 65536 || !IsPowerOfTwo(physical))) {
    return BadField(field + ".physical_block_size_bytes", "{} is no power of two from {} to 65536", physical,
                    least);
  }
  if (!v1::DiskSpec::CacheMode_IsValid(disk.cache()))
    return BadField(field + ".cache", "unknown value {}", int{disk.cache()});
  if (disk.read_only() && disk.discard())
    return BadField(field + ".discard", "a read-only disk cannot discard");
  TRY(CheckLimits(field + ".io_limits", disk.io_limits()));
  if (disk.size_bytes() < 0 || disk.size_bytes() > kMaxDiskBytes || disk.size_bytes() % 512 != 0) {
    return BadField(field + ".size_bytes", "{} is no multiple of 512 up to {}", disk.size_bytes(),
                    kMaxDiskBytes);
  }
  if (disk.read_only() && disk.size_bytes() != 0)
    return BadField(field + ".size_bytes", "a read-only disk cannot grow");
  if (disk.queue_count() < 0 || disk.queue_count() > kMaxQueues) {
    return BadField(field + ".queue_count", "{} is not between 0 and {}", disk.queue_count(), kMaxQueues);
  }
  return Ok();
}

Status CheckMac(const std::string& field, const std::string& text) {
  const auto mac = net::MacAddress::Parse(text);
  if (!mac) return BadField(field, "\"{}\" is no MAC address", text);
  if (!mac->is_unicast()) return BadField(field, "{} is no unicast address", text);
  return Ok();
}

Status CheckNetworkInterface(const std::string& field, const v1::NetworkInterfaceSpec& nic) {
  if (nic.bridge().empty()) return MissingField(field + ".bridge");
  if (nic.bridge().size() > kMaxInterfaceNameBytes ||
      nic.bridge().find_first_of("/ \t\n") != std::string::npos) {
    return BadField(field + ".bridge", "\"{}\" is no interface's name", nic.bridge());
  }
  if (!nic.mac_address().empty()) TRY(CheckMac(field + ".mac_address", nic.mac_address()));
  if (nic.mtu() != 0 && (nic.mtu() < 68 || nic.mtu() > 65521)) {
    return BadField(field + ".mtu", "{} is not between 68 and 65521", nic.mtu());
  }
  if (nic.queue_pair_count() < 0 || nic.queue_pair_count() > kMaxQueues) {
    return BadField(field + ".queue_pair_count", "{} is not between 0 and {}", nic.queue_pair_count(),
                    kMaxQueues);
  }
  return Ok();
}

Status CheckPciAddress(const std::string& field, const std::string& text) {
  if (text.empty()) return MissingField(field);
  if (!host::PciAddress::Parse(text))
    return BadField(field, "\"{}\" is no PCI address like 0000:65:00.0", text);
  return Ok();
}

// Windows beyond this size are none that a guest of any address width could have.
constexpr int64_t kMaxWindowBytes = int64_t{1} << 45;

Status CheckHotPlugPort(const std::string& field, const v1::HotPlugPortSpec& port, int guest_nodes) {
  constexpr int64_t kMaxBelow4GiB = 1 << 30;
  if (port.memory_bytes() < 0 || port.memory_bytes() > kMaxBelow4GiB) {
    return BadField(field + ".memory_bytes", "{} is not between 0 and {}", port.memory_bytes(),
                    kMaxBelow4GiB);
  }
  if (port.prefetchable_memory_bytes() < 0 || port.prefetchable_memory_bytes() > kMaxWindowBytes) {
    return BadField(field + ".prefetchable_memory_bytes", "{} is not between 0 and {}",
                    port.prefetchable_memory_bytes(), kMaxWindowBytes);
  }
  if (port.has_guest_node() && (port.guest_node() < 0 || port.guest_node() >= guest_nodes)) {
    return BadField(field + ".guest_node", "the guest has no node {}", port.guest_node());
  }
  return Ok();
}

Status CheckPolicies(const std::string& field, const v1::AssignedDeviceSpec& device) {
  if (!v1::AssignedDeviceSpec::OnRequest_IsValid(device.on_request()))
    return BadField(field + ".on_request", "unknown value {}", int{device.on_request()});
  if (!v1::AssignedDeviceSpec::OnError_IsValid(device.on_error()))
    return BadField(field + ".on_error", "unknown value {}", int{device.on_error()});
  if (!v1::AssignedDeviceSpec::Affinity_IsValid(device.affinity()))
    return BadField(field + ".affinity", "unknown value {}", int{device.affinity()});
  return Ok();
}

// "10de:2330"
bool IsPciIds(const std::string& text) {
  if (text.size() != 9 || text[4] != ':') return false;
  return text.find_first_not_of("0123456789abcdef:") == std::string::npos &&
         text.find(':', 5) == std::string::npos;
}

Status CheckPciSelector(const std::string& field, const v1::PciSelectorSpec& selector) {
  if (selector.id().empty()) return MissingField(field + ".id");
  if (!IsPciIds(selector.id()))
    return BadField(field + ".id", "\"{}\" is no vendor and device like 10de:2330", selector.id());
  if (!selector.subsystem_id().empty() && !IsPciIds(selector.subsystem_id())) {
    return BadField(field + ".subsystem_id", "\"{}\" is no vendor and device like 10de:16c1",
                    selector.subsystem_id());
  }
  return Ok();
}

Status CheckVlan(const std::string& path, const v1::VirtualFunctionSpec& vf) {
  if (vf.vlan_id() < 0 || vf.vlan_id() > 4094)
    return BadField(path + ".vlan_id", "{} is not between 0 and 4094", vf.vlan_id());
  if (vf.vlan_qos() < 0 || vf.vlan_qos() > 7)
    return BadField(path + ".vlan_qos", "{} is not between 0 and 7", vf.vlan_qos());
  if (!v1::VirtualFunctionSpec::VlanProtocol_IsValid(vf.vlan_protocol()))
    return BadField(path + ".vlan_protocol", "unknown value {}", int{vf.vlan_protocol()});
  if (vf.vlan_id() == 0 && vf.vlan_qos() != 0) return BadField(path + ".vlan_qos", "needs a vlan_id");
  if (vf.vlan_id() == 0 && vf.vlan_protocol() != v1::VirtualFunctionSpec::VLAN_PROTOCOL_UNSPECIFIED)
    return BadField(path + ".vlan_protocol", "needs a vlan_id");
  return Ok();
}

Status CheckVirtualFunction(const std::string& path, const v1::VirtualFunctionSpec& vf) {
  TRY(CheckPciAddress(path + ".physical_function", vf.physical_function()));
  if (vf.has_index() && (vf.index() < 0 || vf.index() > 65535))
    return BadField(path + ".index", "{} is no index", vf.index());
  if (!vf.mac_address().empty()) TRY(CheckMac(path + ".mac_address", vf.mac_address()));
  TRY(CheckVlan(path, vf));
  if (!v1::VirtualFunctionSpec::LinkState_IsValid(vf.link_state()))
    return BadField(path + ".link_state", "unknown value {}", int{vf.link_state()});
  if (vf.max_rate_mbps() < 0) return BadField(path + ".max_rate_mbps", "{} is negative", vf.max_rate_mbps());
  if (vf.min_rate_mbps() < 0) return BadField(path + ".min_rate_mbps", "{} is negative", vf.min_rate_mbps());
  if (vf.max_rate_mbps() != 0 && vf.min_rate_mbps() > vf.max_rate_mbps()) {
    return BadField(path + ".min_rate_mbps", "{} is more than max_rate_mbps, {}", vf.min_rate_mbps(),
                    vf.max_rate_mbps());
  }
  return Ok();
}

Status CheckUuid(const std::string& field, const std::string& uuid) {
  if (!mdev::ParseUuid(uuid)) return BadField(field, "\"{}\" is no UUID", uuid);
  return Ok();
}

Status CheckMediatedDevice(const std::string& path, const v1::MediatedDeviceSpec& mdev) {
  if (mdev.device_case() == v1::MediatedDeviceSpec::kUuid) return CheckUuid(path + ".uuid", mdev.uuid());
  const v1::MediatedDeviceTypeSpec& create = mdev.create();
  if (create.type().empty()) return MissingField(path + ".create.type");
  // Both become parts of paths below sysfs.
  for (const std::string* name : {&create.parent(), &create.type()}) {
    if (name->find('/') != std::string::npos || name->starts_with('.')) {
      return BadField(path + ".create", "\"{}\" is no name of a parent or type", *name);
    }
  }
  if (!create.uuid().empty()) TRY(CheckUuid(path + ".create.uuid", create.uuid()));
  std::vector<mdev::MdevAttribute> attributes;
  for (const auto& attribute : create.attributes())
    attributes.push_back({attribute.name(), attribute.value()});
  const Status good = mdev::CheckAttributes(attributes);
  if (!good) return BadField(path + ".create.attributes", "{}", good.error().message());
  return Ok();
}

Status CheckWhatIsShown(const std::string& field, const v1::AssignedDeviceSpec& device) {
  constexpr int kMaxClique = 15;
  const std::pair<const char*, const std::string*> ids[] = {
      {"id", &device.identity().id()}, {"subsystem_id", &device.identity().subsystem_id()}};
  for (const auto& [name, id] : ids) {
    if (id->empty() || IsPciIds(*id)) continue;
    return BadField(fmt::format("{}.identity.{}", field, name),
                    "\"{}\" is no vendor and device like 10de:2330", *id);
  }
  const v1::MonitorSpec& monitor = device.monitor();
  if (device.has_monitor() && (monitor.width() < 640 || monitor.width() > 3840 || monitor.height() < 480 ||
                               monitor.height() > 2400)) {
    return BadField(field + ".monitor", "{}x{} is not between 640x480 and 3840x2400", monitor.width(),
                    monitor.height());
  }
  if (device.has_gpudirect_clique() &&
      (device.gpudirect_clique() < 0 || device.gpudirect_clique() > kMaxClique)) {
    return BadField(field + ".gpudirect_clique", "{} is not between 0 and {}", device.gpudirect_clique(),
                    kMaxClique);
  }
  return Ok();
}

Status CheckAssignedDevice(const std::string& field, const v1::AssignedDeviceSpec& device) {
  TRY(CheckPolicies(field, device));
  TRY(CheckWhatIsShown(field, device));
  switch (device.device_case()) {
    case v1::AssignedDeviceSpec::kPciAddress:
      return CheckPciAddress(field + ".pci_address", device.pci_address());
    case v1::AssignedDeviceSpec::kVirtualFunction:
      return CheckVirtualFunction(field + ".virtual_function", device.virtual_function());
    case v1::AssignedDeviceSpec::kPciSelector:
      return CheckPciSelector(field + ".pci_selector", device.pci_selector());
    case v1::AssignedDeviceSpec::kMediatedDevice:
      return CheckMediatedDevice(field + ".mediated_device", device.mediated_device());
    case v1::AssignedDeviceSpec::DEVICE_NOT_SET:
      break;
  }
  return MissingField(field + ".device");
}

}  // namespace

Status CheckDevices(const v1::GuestSpec& spec) {
  if (spec.disks_size() > kMaxDisks) return BadField("disks", "at most {}", kMaxDisks);
  if (spec.network_interfaces_size() > kMaxNetworkInterfaces) {
    return BadField("network_interfaces", "at most {}", kMaxNetworkInterfaces);
  }
  if (spec.assigned_devices_size() > kMaxAssignedDevices) {
    return BadField("assigned_devices", "at most {}", kMaxAssignedDevices);
  }
  if (spec.hot_plug_ports_size() > kMaxAssignedDevices - spec.assigned_devices_size()) {
    return BadField("hot_plug_ports", "at most {} together with assigned_devices", kMaxAssignedDevices);
  }
  for (int i = 0; i < spec.hot_plug_ports_size(); ++i) {
    TRY(CheckHotPlugPort(fmt::format("hot_plug_ports[{}]", i), spec.hot_plug_ports(i),
                         std::max({spec.memory().nodes_size(), spec.memory().node_count(), 1})));
  }
  std::set<std::string> ids;
  const bool has_scsi = std::any_of(spec.disks().begin(), spec.disks().end(), [](const v1::DiskSpec& disk) {
    return BusOf(disk) == v1::DiskSpec::VIRTIO_SCSI;
  });
  if (has_scsi) ids.insert(kScsiControllerId);
  const auto check_id = [&](const std::string& field, const std::string& given,
                            const std::string& id) -> Status {
    if (!given.empty() && !IsWord(given, kMaxDeviceIdBytes)) {
      return BadField(field + ".id", "\"{}\" is not 1 to {} letters, digits and '-'", given,
                      kMaxDeviceIdBytes);
    }
    if (!ids.insert(id).second) return BadField(field + ".id", "two devices have the id {}", id);
    return Ok();
  };
  for (int i = 0; i < spec.disks_size(); ++i) {
    const std::string field = fmt::format("disks[{}]", i);
    TRY(check_id(field, spec.disks(i).id(), DiskId(spec, i)));
    TRY(CheckDisk(field, spec.disks(i)));
  }
  for (int i = 0; i < spec.network_interfaces_size(); ++i) {
    const std::string field = fmt::format("network_interfaces[{}]", i);
    TRY(check_id(field, spec.network_interfaces(i).id(), NetworkInterfaceId(spec, i)));
    TRY(CheckNetworkInterface(field, spec.network_interfaces(i)));
  }
  for (int i = 0; i < spec.assigned_devices_size(); ++i) {
    const std::string field = fmt::format("assigned_devices[{}]", i);
    TRY(check_id(field, spec.assigned_devices(i).id(), AssignedDeviceId(spec, i)));
    TRY(CheckAssignedDevice(field, spec.assigned_devices(i)));
  }
  return Ok();
}

v1::DiskSpec::Bus BusOf(const v1::DiskSpec& disk) {
  if (disk.bus() != v1::DiskSpec::BUS_UNSPECIFIED) return disk.bus();
  return disk.kind() == v1::DiskSpec::CD_ROM ? v1::DiskSpec::VIRTIO_SCSI : v1::DiskSpec::VIRTIO_BLK;
}

std::string DiskId(const v1::GuestSpec& spec, int index) {
  return spec.disks(index).id().empty() ? fmt::format("disk{}", index) : spec.disks(index).id();
}
std::string NetworkInterfaceId(const v1::GuestSpec& spec, int index) {
  const std::string& id = spec.network_interfaces(index).id();
  return id.empty() ? fmt::format("net{}", index) : id;
}
std::string AssignedDeviceId(const v1::GuestSpec& spec, int index) {
  const std::string& id = spec.assigned_devices(index).id();
  return id.empty() ? fmt::format("assigned{}", index) : id;
}

}  // namespace berth::server
