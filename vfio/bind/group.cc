#include "vfio/bind/group.h"

#include <algorithm>

namespace berth::vfio {
namespace {

using host::PciAddress;
using host::PciFunction;

Error NoGroup(const host::HostSnapshot& snapshot, const PciFunction& function) {
  const std::string fix =
      snapshot.groups.empty()
          ? "the host has no IOMMU in use: enable VT-d or AMD-Vi in the firmware, and boot with "
            "intel_iommu=on if the CPU is Intel's"
          : "no IOMMU of the host serves this function; it cannot be assigned";
  return Error(Code::kFailedPrecondition, fmt::format("{} has no IOMMU group: {}", Describe(function), fix))
      .Reason("NO_IOMMU_GROUP")
      .With("device", function.address.ToString())
      .With("fix", fix);
}

GroupObstacle Obstacle(const PciFunction& function) {
  return {
      .address = function.address,
      .driver = function.driver,
      .description = fmt::format("{} is used by the host's driver {}", Describe(function), function.driver),
      .fix = fmt::format("assign {} to the same guest, or unbind it from {}", function.address.ToString(),
                         function.driver)};
}

}  // namespace

bool IsVfioDriver(const std::string& driver) {
  return driver.find('/') == std::string::npos &&
         (driver.ends_with("vfio-pci") || driver.ends_with("vfio_pci"));
}

bool IsUserSpaceDriver(const std::string& driver) {
  return IsVfioDriver(driver) || driver == "pci-stub" || driver == "pcieport";
}

Result<GroupReport> CheckGroup(const host::HostSnapshot& snapshot, const PciAddress& address,
                               const std::vector<PciAddress>& assigned) {
  const PciFunction* function = snapshot.FindFunction(address);
  if (function == nullptr) {
    return Fail(Error(Code::kNotFound, fmt::format("the host has no PCI function {}", address.ToString()))
                    .Reason("DEVICE_NOT_FOUND")
                    .With("device", address.ToString()));
  }
  if (!function->iommu_group) return Fail(NoGroup(snapshot, *function));
  GroupReport report{.group = *function->iommu_group};
  for (const PciFunction& member : snapshot.functions) {
    if (member.iommu_group != function->iommu_group) continue;
    report.members.push_back(member.address);
    const bool ours = member.address == address ||
                      std::find(assigned.begin(), assigned.end(), member.address) != assigned.end();
    if (ours || member.driver.empty() || IsUserSpaceDriver(member.driver)) continue;
    report.obstacles.push_back(Obstacle(member));
  }
  return report;
}

Status RequireViable(const GroupReport& report) {
  if (report.viable()) return Ok();
  std::string descriptions, fixes, addresses;
  for (const GroupObstacle& obstacle : report.obstacles) {
    descriptions += "; " + obstacle.description;
    fixes += "; " + obstacle.fix;
    addresses += fmt::format(",{}={}", obstacle.address.ToString(), obstacle.driver);
  }
  return Fail(Error(Code::kFailedPrecondition,
                    fmt::format("IOMMU group {} cannot be used{}. To fix it{}", report.group,
                                descriptions.replace(0, 2, ": "), fixes.replace(0, 2, ": ")))
                  .Reason("IOMMU_GROUP_NOT_VIABLE")
                  .With("group", std::to_string(report.group))
                  .With("obstacles", addresses.substr(1)));
}

}  // namespace berth::vfio
