// Which host devices a guest's assigned devices are.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "berth/v1/guest.pb.h"
#include "host/snapshot.h"
#include "mdev/mdev.h"
#include "net/host/vf.h"
#include "server/store/guest_table.h"
#include "server/store/quarantine_table.h"

namespace berth::server {

struct ResolvedDevice {
  std::string id;   // Within the guest.
  std::string key;  // See device_key.h.
  bool skip_reset = false;
  std::optional<int> host_node;

  // A PCI function: its address, unless it is a virtual function that is not there yet.
  std::optional<host::PciAddress> address;
  // A virtual function.
  struct Vf {
    host::PciAddress physical_function;
    int index = 0;
    int count = 0;  // How many there are to be, so that it exists.
    net::VfSettings settings;
  };
  std::optional<Vf> vf;
  // The function at `address` is to be made a vGPU of this type by its vendor's driver, which keeps it.
  std::optional<int> vgpu_type;
  // A mediated device.
  struct Mdev {
    std::string uuid;
    bool create = false;
    std::string parent, type;  // To create.
    std::vector<mdev::MdevAttribute> attributes;
  };
  std::optional<Mdev> mdev;
};

// `claims` and `quarantined` are all that there are; the claims of `guest_uid` name the devices it has
// already, which it keeps.
// Pure, but for the random UUID of a mediated device to create. The spec was checked.
//   NOT_FOUND: DEVICE_NOT_FOUND (also where no device is as selected), MDEV_PARENT_NOT_FOUND,
//   MDEV_TYPE_NOT_FOUND.
//   INVALID_ARGUMENT: DEVICE_NAMED_TWICE, DEVICE_IS_BRIDGE, NOT_A_PHYSICAL_FUNCTION, NOT_A_NETWORK_FUNCTION.
//   OUT_OF_RANGE: TOO_MANY_VFS.
//   FAILED_PRECONDITION: DEVICE_IN_USE (and by whom), DEVICE_QUARANTINED (and why), NO_IOMMU_GROUP,
//   IOMMU_GROUP_NOT_VIABLE, IOMMU_GROUP_IN_USE. RESOURCE_EXHAUSTED: NO_VF_LEFT, NO_DEVICE_LEFT,
//   NO_MDEV_INSTANCE_LEFT.
Result<std::vector<ResolvedDevice>> ResolveDevices(const host::HostSnapshot& host, const v1::GuestSpec& spec,
                                                   const std::vector<Claim>& claims,
                                                   const std::vector<Quarantined>& quarantined,
                                                   const std::string& guest_uid);

// The addresses of virtual functions that have come to be since.
void FindVfs(const host::HostSnapshot& host, std::vector<ResolvedDevice>* devices);

// The claims and the API's view of resolved devices.
std::vector<Claim> ClaimsOf(const std::vector<ResolvedDevice>& devices, const std::string& guest_uid);
v1::ClaimedDevice ToClaimedDevice(const ResolvedDevice& device);

}  // namespace berth::server
