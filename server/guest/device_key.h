// What a host device is called in claims and in the API.
//
// A claim outlives the device's PCI address where the device is a virtual function that comes and goes: so
// those are known by their physical function and index, however the caller named them.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "host/pci.h"
#include "host/pci_address.h"

namespace berth::server {

std::string PciKey(const host::PciAddress& address);                      // "pci/0000:01:00.0"
std::string VfKey(const host::PciAddress& physical_function, int index);  // "vf/0000:01:00.0/3"
std::string MdevKey(const std::string& uuid);                             // "mdev/UUID"
std::string KeyOf(const host::PciFunction& function);                     // PciKey or VfKey.
// The physical function and the index in a VfKey; none for other keys.
std::optional<std::pair<host::PciAddress, int>> ParseVfKey(const std::string& key);

// One notion for both kinds of vGPU: a vendor's type of this number is called as its mediated twin would be.
std::string VgpuTypeName(int id);                               // "nvidia-558"
std::optional<int> ParseVgpuTypeName(const std::string& name);  // None for other types.

// Resource names: "host/devices/pci-0000-01-00-0", "host/devices/mdev-UUID", "host/devices/parent-mtty".
std::string PciDeviceName(const host::PciAddress& address);
std::string MdevDeviceName(const std::string& uuid);
std::string MdevParentName(const std::string& parent);

}  // namespace berth::server
