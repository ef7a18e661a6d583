#include "server/guest/iommu_check.h"

#include "server/guest/device_key.h"
#include "vfio/bind/group.h"

namespace berth::server {
namespace {

Status CheckOwner(const host::HostSnapshot& host, const vfio::GroupReport& report,
                  const std::vector<Claim>& claims, const std::string& guest_uid) {
  for (const host::PciAddress& member : report.members) {
    const host::PciFunction* function = host.FindFunction(member);
    if (function == nullptr) continue;
    for (const Claim& claim : claims) {
      if (claim.guest_uid == guest_uid || claim.device != KeyOf(*function)) continue;
      return Fail(
          Error(Code::kFailedPrecondition, fmt::format("IOMMU group {} holds {} too, which {} has",
                                                       report.group, host::Describe(*function), claim.guest))
              .Reason("IOMMU_GROUP_IN_USE")
              .With("group", std::to_string(report.group))
              .With("resource", PciDeviceName(member))
              .With("owner", claim.guest));
    }
  }
  return Ok();
}

}  // namespace

Status CheckIommuGroup(const host::HostSnapshot& host, const host::PciAddress& address,
                       const std::vector<host::PciAddress>& assigned, const std::vector<Claim>& claims,
                       const std::string& guest_uid) {
  const vfio::GroupReport report = TRY(vfio::CheckGroup(host, address, assigned));
  TRY(CheckOwner(host, report, claims, guest_uid));
  return vfio::RequireViable(report);
}

Status CheckIommuGroups(const host::HostSnapshot& host, const std::vector<ResolvedDevice>& devices,
                        const std::vector<Claim>& claims, const std::string& guest_uid) {
  std::vector<host::PciAddress> assigned;
  for (const ResolvedDevice& device : devices) {
    if (device.address) assigned.push_back(*device.address);
  }
  for (const ResolvedDevice& device : devices) {
    if (!device.address) continue;
    TRY(Context(CheckIommuGroup(host, *device.address, assigned, claims, guest_uid), device.id));
  }
  return Ok();
}

}  // namespace berth::server
