// The host as the API shows it.
#pragma once

#include <string>
#include <vector>

#include "berth/v1/host.pb.h"
#include "host/snapshot.h"
#include "server/guest/guest_book.h"
#include "server/store/guest_table.h"
#include "server/store/quarantine_table.h"

namespace berth::server {

// All pure.
v1::Host ToHost(const host::HostSnapshot& snapshot, const Ledger& ledger, bool kvm_available,
                const std::string& version);

// Who has a device, and how that guest is.
struct DeviceOwner {
  std::string guest;  // "guests/web"
  v1::Guest::State state = v1::Guest::STATE_UNSPECIFIED;
  bool restored = true;  // False: what was changed for a guest that does not run is not put back.
  google::protobuf::Timestamp since{};  // Of the state that the device is in by its owner's.
};
// By the claim's key.
using DeviceOwners = std::map<std::string, DeviceOwner>;

// Who has what, and who may have what no longer.
struct DeviceLedger {
  DeviceOwners owners;
  std::vector<Quarantined> quarantined;
};

// PCI functions by address, but for bridges; then parents of mediated devices; then mediated devices.
std::vector<v1::HostDevice> ToHostDevices(const host::HostSnapshot& snapshot, const DeviceLedger& ledger);
// The key of claims for a device; empty for what cannot be claimed. See device_key.h.
std::string KeyOf(const v1::HostDevice& device);

// A field of a device as filters name it; empty for one that is not set.
std::string DeviceField(const v1::HostDevice& device, std::string_view field);
bool IsDeviceField(std::string_view field);

}  // namespace berth::server
