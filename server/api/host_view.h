// The host as the API shows it.
#pragma once

#include <string>
#include <vector>

#include "berth/v1/host.pb.h"
#include "host/snapshot.h"
#include "server/guest/guest_book.h"
#include "server/store/guest_table.h"

namespace berth::server {

// All pure.
v1::Host ToHost(const host::HostSnapshot& snapshot, const Ledger& ledger, bool kvm_available,
                const std::string& version);

// Who has a device, and how that guest is.
struct DeviceOwner {
  std::string guest;  // "guests/web"
  v1::Guest::State state = v1::Guest::STATE_UNSPECIFIED;
  bool restored = true;  // False: what was changed for a guest that does not run is not put back.
};
// By the claim's key.
using DeviceOwners = std::map<std::string, DeviceOwner>;

// PCI functions by address, but for bridges; then parents of mediated devices; then mediated devices.
std::vector<v1::HostDevice> ToHostDevices(const host::HostSnapshot& snapshot, const DeviceOwners& owners);

// A field of a device as filters name it; empty for one that is not set.
std::string DeviceField(const v1::HostDevice& device, std::string_view field);
bool IsDeviceField(std::string_view field);

}  // namespace berth::server
