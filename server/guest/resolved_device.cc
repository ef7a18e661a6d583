#include "server/guest/resolved_device.h"

#include "server/guest/device_key.h"
#include "server/guest/device_resolver.h"
#include "server/guest/device_spec_check.h"
#include "server/guest/iommu_check.h"

namespace berth::server {
namespace {

Result<ResolvedDevice> Resolve(const DeviceResolver& resolver, const v1::AssignedDeviceSpec& spec,
                               const std::string& id) {
  switch (spec.device_case()) {
    case v1::AssignedDeviceSpec::kVirtualFunction:
      return ResolveVf(resolver, spec.virtual_function(), resolver.Earlier(id));
    case v1::AssignedDeviceSpec::kMediatedDevice:
      return ResolveMdev(resolver, spec.mediated_device(), resolver.Earlier(id));
    case v1::AssignedDeviceSpec::kPciSelector:
      return ResolveAnyPci(resolver, spec.pci_selector(), resolver.Earlier(id));
    default:
      return ResolvePci(resolver, spec.pci_address());
  }
}

}  // namespace

Result<std::vector<ResolvedDevice>> ResolveDevices(const host::HostSnapshot& host, const v1::GuestSpec& spec,
                                                   const std::vector<Claim>& claims,
                                                   const std::vector<Quarantined>& quarantined,
                                                   const std::string& guest_uid) {
  DeviceResolver resolver{.host = host,
                          .spec = spec,
                          .claims = claims,
                          .quarantined = quarantined,
                          .guest_uid = guest_uid,
                          .chosen = {}};
  for (int i = 0; i < spec.assigned_devices_size(); ++i) {
    const std::string id = AssignedDeviceId(spec, i);
    const std::string field = fmt::format("guest.spec.assigned_devices[{}]", i);
    Result<ResolvedDevice> device = Resolve(resolver, spec.assigned_devices(i), id);
    if (!device) return Fail(std::move(device).error().Context(id).Field(field));
    Status free = CheckFree(resolver, *device);
    if (!free) return Fail(std::move(free).error().Context(id).Field(field));
    device->id = id;
    device->skip_reset = spec.assigned_devices(i).skip_reset();
    resolver.chosen.push_back(*std::move(device));
  }
  TRY(CheckIommuGroups(host, resolver.chosen, claims, guest_uid));
  return std::move(resolver.chosen);
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
