// Whether the IOMMU lets a guest have its devices.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "host/snapshot.h"
#include "server/guest/resolved_device.h"

namespace berth::server {

// A function must be in a group, the group viable once the functions `assigned` are taken from the host, and
// no other guest's: a group is opened by one process. FAILED_PRECONDITION: NO_IOMMU_GROUP,
// IOMMU_GROUP_NOT_VIABLE, IOMMU_GROUP_IN_USE.
Status CheckIommuGroup(const host::HostSnapshot& host, const host::PciAddress& address,
                       const std::vector<host::PciAddress>& assigned, const std::vector<Claim>& claims,
                       const std::string& guest_uid);

// So for each of a guest's devices that is there; devices that are made at the start are judged then.
Status CheckIommuGroups(const host::HostSnapshot& host, const std::vector<ResolvedDevice>& devices,
                        const std::vector<Claim>& claims, const std::string& guest_uid);

}  // namespace berth::server
