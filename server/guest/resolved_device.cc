#include "server/guest/resolved_device.h"

#include <algorithm>
#include <set>

#include <google/protobuf/util/time_util.h>

#include "mdev/mdev.h"
#include "server/guest/device_key.h"
#include "server/guest/device_spec_check.h"
#include "server/guest/iommu_check.h"

namespace berth::server {
namespace {

using google::protobuf::util::TimeUtil;

// What is known while one device after the other is resolved.
struct Resolver {
  const host::HostSnapshot& host;
  const std::vector<Claim>& claims;
  const std::vector<Quarantined>& quarantined;
  const std::string& guest_uid;
  std::set<std::string> chosen;  // Keys this guest has so far.

  const Claim* ClaimOn(const std::string& key) const {
    for (const Claim& claim : claims) {
      if (claim.device == key) return &claim;
    }
    return nullptr;
  }
  const Quarantined* QuarantineOf(const std::string& key) const {
    const auto found = std::find_if(quarantined.begin(), quarantined.end(),
                                    [&](const Quarantined& one) { return one.device == key; });
    return found == quarantined.end() ? nullptr : &*found;
  }
  bool IsFree(const std::string& key) const {
    const Claim* claim = ClaimOn(key);
    if (QuarantineOf(key) != nullptr) return false;
    return !chosen.contains(key) && (claim == nullptr || claim->guest_uid == guest_uid);
  }
  // The key that this guest's device had when it was resolved before.
  std::string Earlier(const std::string& device_id) const {
    for (const Claim& claim : claims) {
      if (claim.guest_uid == guest_uid && claim.device_id == device_id) return claim.device;
    }
    return "";
  }
};

Result<const host::PciFunction*> FindFunction(const host::HostSnapshot& host, const std::string& text) {
  const host::PciAddress address = TRY(host::PciAddress::Parse(text));
  const host::PciFunction* function = host.FindFunction(address);
  if (function != nullptr) return function;
  return Fail(Error(Code::kNotFound, fmt::format("the host has no PCI function {}", address.ToString()))
                  .Reason("DEVICE_NOT_FOUND")
                  .With("device", address.ToString())
                  .With("resource", PciDeviceName(address)));
}

Result<ResolvedDevice> ResolvePci(const Resolver& resolver, const std::string& text) {
  const host::PciFunction* function = TRY(FindFunction(resolver.host, text));
  if (function->is_bridge()) {
    return Fail(Error(Code::kInvalidArgument, fmt::format("{} is a bridge", host::Describe(*function)))
                    .Reason("DEVICE_IS_BRIDGE")
                    .With("device", function->address.ToString()));
  }
  ResolvedDevice device{
      .key = KeyOf(*function), .host_node = function->numa_node, .address = function->address};
  return device;
}

bool IsNetwork(const host::PciFunction& function) { return function.class_code >> 16 == 0x02; }

// The index asked for, the one from before, or the first that is free; one without a driver if there is such.
Result<int> PickVf(const Resolver& resolver, const host::PciFunction& function,
                   const v1::VirtualFunctionSpec& spec, const std::string& earlier) {
  const int total = function.sriov->total_vfs;
  if (spec.has_index()) {
    if (spec.index() < total) return spec.index();
    return Fail(
        Error(Code::kOutOfRange, fmt::format("{} can have {} virtual functions, there is no number {}",
                                             host::Describe(function), total, spec.index()))
            .Reason("TOO_MANY_VFS")
            .With("device", function.address.ToString())
            .With("totalVfs", std::to_string(total)));
  }
  if (const auto had = ParseVfKey(earlier); had && had->first == function.address) return had->second;
  const int count = function.sriov->num_vfs > 0 ? function.sriov->num_vfs : total;
  std::optional<int> with_driver;
  for (int index = 0; index < count; ++index) {
    if (!resolver.IsFree(VfKey(function.address, index))) continue;
    const auto& vfs = function.sriov->vfs;
    const bool exists = index < static_cast<int>(vfs.size()) && vfs[index].has_value();
    const host::PciFunction* vf = exists ? resolver.host.FindFunction(*vfs[index]) : nullptr;
    if (vf == nullptr || vf->driver.empty()) return index;
    if (!with_driver) with_driver = index;
  }
  if (with_driver) return *with_driver;
  return Fail(Error(Code::kResourceExhausted,
                    fmt::format("all {} virtual functions of {} are in use", count, host::Describe(function)))
                  .Reason("NO_VF_LEFT")
                  .With("device", function.address.ToString())
                  .With("count", std::to_string(count)));
}

Result<ResolvedDevice> ResolveVf(const Resolver& resolver, const v1::VirtualFunctionSpec& spec,
                                 const std::string& earlier) {
  const host::PciFunction* function = TRY(FindFunction(resolver.host, spec.physical_function()));
  if (!function->sriov || function->sriov->total_vfs == 0) {
    return Fail(
        Error(Code::kInvalidArgument, fmt::format("{} has no virtual functions", host::Describe(*function)))
            .Reason("NOT_A_PHYSICAL_FUNCTION")
            .With("device", function->address.ToString()));
  }
  if ((!spec.mac_address().empty() || spec.vlan_id() != 0) && !IsNetwork(*function)) {
    return Fail(
        Error(Code::kInvalidArgument,
              fmt::format("{} is no network function: its virtual functions have no MAC address or VLAN",
                          host::Describe(*function)))
            .Reason("NOT_A_NETWORK_FUNCTION")
            .With("device", function->address.ToString()));
  }
  const int index = TRY(PickVf(resolver, *function, spec, earlier));
  const auto& sriov = *function->sriov;
  ResolvedDevice device{.key = VfKey(function->address, index), .host_node = function->numa_node};
  device.vf = ResolvedDevice::Vf{.physical_function = function->address,
                                 .index = index,
                                 .count = sriov.num_vfs > index ? sriov.num_vfs : sriov.total_vfs};
  if (!spec.mac_address().empty()) device.vf->settings.mac = spec.mac_address();
  if (spec.vlan_id() != 0) device.vf->settings.vlan = net::VfVlan{.id = spec.vlan_id()};
  if (index < static_cast<int>(sriov.vfs.size())) device.address = sriov.vfs[index];
  return device;
}

Result<ResolvedDevice> ResolveMdev(const Resolver& resolver, const v1::MediatedDeviceSpec& spec,
                                   const std::string& earlier) {
  if (spec.device_case() == v1::MediatedDeviceSpec::kUuid) {
    const std::string uuid = TRY(mdev::ParseUuid(spec.uuid()));
    const host::MdevInstance* instance = resolver.host.FindMdev(uuid);
    if (instance == nullptr) {
      return Fail(Error(Code::kNotFound, fmt::format("the host has no mediated device {}", uuid))
                      .Reason("DEVICE_NOT_FOUND")
                      .With("device", uuid)
                      .With("resource", MdevDeviceName(uuid)));
    }
    const host::MdevParent* parent = resolver.host.FindMdevParent(instance->parent);
    ResolvedDevice device{.key = MdevKey(uuid)};
    if (parent != nullptr) device.host_node = parent->numa_node;
    device.mdev = ResolvedDevice::Mdev{.uuid = uuid};
    return device;
  }
  const host::MdevParent* parent = resolver.host.FindMdevParent(spec.create().parent());
  if (parent == nullptr) {
    return Fail(Error(Code::kNotFound,
                      fmt::format("the host has no parent of mediated devices {}", spec.create().parent()))
                    .Reason("MDEV_PARENT_NOT_FOUND")
                    .With("device", spec.create().parent())
                    .With("resource", MdevParentName(spec.create().parent())));
  }
  const host::MdevType* type = parent->FindType(spec.create().type());
  if (type == nullptr) {
    std::string known;
    for (const auto& other : parent->types) known += (known.empty() ? "" : ", ") + other.id;
    return Fail(
        Error(Code::kNotFound, fmt::format("{} has no type {} of mediated devices; it has {}", parent->name,
                                           spec.create().type(), known.empty() ? "none" : known))
            .Reason("MDEV_TYPE_NOT_FOUND")
            .With("device", parent->name)
            .With("type", spec.create().type())
            .With("types", known));
  }
  if (type->available_instances == 0) {
    return Fail(Error(Code::kResourceExhausted, fmt::format("{} has no {} left", parent->name, type->id))
                    .Reason("NO_MDEV_INSTANCE_LEFT")
                    .With("device", parent->name)
                    .With("type", type->id));
  }
  const std::string uuid = earlier.starts_with("mdev/") ? earlier.substr(5) : mdev::NewUuid();
  ResolvedDevice device{.key = MdevKey(uuid), .host_node = parent->numa_node};
  device.mdev = ResolvedDevice::Mdev{.uuid = uuid, .create = true, .parent = parent->name, .type = type->id};
  return device;
}

Result<ResolvedDevice> Resolve(const Resolver& resolver, const v1::AssignedDeviceSpec& spec,
                               const std::string& id) {
  switch (spec.device_case()) {
    case v1::AssignedDeviceSpec::kVirtualFunction:
      return ResolveVf(resolver, spec.virtual_function(), resolver.Earlier(id));
    case v1::AssignedDeviceSpec::kMediatedDevice:
      return ResolveMdev(resolver, spec.mediated_device(), resolver.Earlier(id));
    default:
      return ResolvePci(resolver, spec.pci_address());
  }
}

Status CheckQuarantine(const Resolver& resolver, const ResolvedDevice& device) {
  const Quarantined* quarantined = resolver.QuarantineOf(device.key);
  if (quarantined == nullptr) return Ok();
  const std::string since = TimeUtil::ToString(TimeUtil::MicrosecondsToTimestamp(quarantined->since_us));
  Error error(Code::kFailedPrecondition,
              fmt::format("device {} is quarantined since {}: {}. Recover it (berth host recover) when it is "
                          "seen to",
                          device.key, since, quarantined->message));
  if (device.address) error = std::move(error).With("resource", PciDeviceName(*device.address));
  return Fail(std::move(error)
                  .Reason("DEVICE_QUARANTINED")
                  .With("device", device.key)
                  .With("cause", quarantined->reason)
                  .With("since", since));
}

// A function and its virtual functions are not given to two guests, nor to one twice.
Status CheckFree(const Resolver& resolver, const ResolvedDevice& device) {
  if (resolver.chosen.contains(device.key)) {
    return Fail(Error(Code::kInvalidArgument, fmt::format("device {} is named twice", device.key))
                    .Reason("DEVICE_NAMED_TWICE")
                    .With("device", device.key));
  }
  for (const Claim& claim : resolver.claims) {
    if (claim.guest_uid == resolver.guest_uid) continue;
    const auto claimed_vf = ParseVfKey(claim.device);
    const bool same = claim.device == device.key;
    const bool of_claimed = device.vf && claim.device == PciKey(device.vf->physical_function);
    const bool has_claimed =
        !device.vf && device.address && claimed_vf && claimed_vf->first == *device.address;
    if (!same && !of_claimed && !has_claimed) continue;
    Error error(Code::kFailedPrecondition, fmt::format("device {} is in use by {}", device.key, claim.guest));
    if (device.address) error = std::move(error).With("resource", PciDeviceName(*device.address));
    if (device.mdev) error = std::move(error).With("resource", MdevDeviceName(device.mdev->uuid));
    return Fail(
        std::move(error).Reason("DEVICE_IN_USE").With("device", device.key).With("owner", claim.guest));
  }
  return Ok();
}

}  // namespace

Result<std::vector<ResolvedDevice>> ResolveDevices(const host::HostSnapshot& host, const v1::GuestSpec& spec,
                                                   const std::vector<Claim>& claims,
                                                   const std::vector<Quarantined>& quarantined,
                                                   const std::string& guest_uid) {
  Resolver resolver{
      .host = host, .claims = claims, .quarantined = quarantined, .guest_uid = guest_uid, .chosen = {}};
  std::vector<ResolvedDevice> devices;
  for (int i = 0; i < spec.assigned_devices_size(); ++i) {
    const std::string id = AssignedDeviceId(spec, i);
    const std::string field = fmt::format("guest.spec.assigned_devices[{}]", i);
    Result<ResolvedDevice> device = Resolve(resolver, spec.assigned_devices(i), id);
    if (!device) return Fail(std::move(device).error().Context(id).Field(field));
    Status free = CheckFree(resolver, *device);
    if (free) free = CheckQuarantine(resolver, *device);
    if (!free) return Fail(std::move(free).error().Context(id).Field(field));
    device->id = id;
    device->skip_reset = spec.assigned_devices(i).skip_reset();
    resolver.chosen.insert(device->key);
    devices.push_back(*std::move(device));
  }
  TRY(CheckIommuGroups(host, devices, claims, guest_uid));
  return devices;
}

std::vector<Claim> ClaimsOf(const std::vector<ResolvedDevice>& devices, const std::string& guest_uid) {
  std::vector<Claim> claims;
  for (const ResolvedDevice& device : devices) {
    claims.push_back({.device = device.key, .guest_uid = guest_uid, .device_id = device.id});
  }
  return claims;
}

void FindVfs(const host::HostSnapshot& host, std::vector<ResolvedDevice>* devices) {
  for (ResolvedDevice& device : *devices) {
    if (!device.vf) continue;
    const host::PciFunction* function = host.FindFunction(device.vf->physical_function);
    if (function == nullptr || !function->sriov) continue;
    const auto& vfs = function->sriov->vfs;
    if (device.vf->index < static_cast<int>(vfs.size())) device.address = vfs[device.vf->index];
  }
}

v1::ClaimedDevice ToClaimedDevice(const ResolvedDevice& device) {
  v1::ClaimedDevice claimed;
  claimed.set_id(device.id);
  if (device.host_node) claimed.set_host_node(*device.host_node);
  if (device.address) {
    claimed.set_pci_address(device.address->ToString());
    claimed.set_host_device(PciDeviceName(*device.address));
  }
  if (device.mdev) {
    claimed.set_mdev_uuid(device.mdev->uuid);
    claimed.set_host_device(MdevDeviceName(device.mdev->uuid));
  }
  return claimed;
}

}  // namespace berth::server
