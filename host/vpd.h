// Vital product data of a PCI function. PCI Local Bus 3.0, appendix I.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "host/pci_address.h"
#include "host/roots.h"

namespace berth::host {

struct VitalProductData {
  std::string product;  // The identifier string.
  // The read-only fields by keyword, without the checksum: "SN" the serial number, "PN" the part number.
  std::map<std::string, std::string> fields;

  friend bool operator==(const VitalProductData&, const VitalProductData&) = default;
};

inline constexpr size_t kMaxVpdBytes = 32 * 1024;  // All that a VPD address can reach.

// What can be read of it: hardware may hold anything.
VitalProductData ParseVpd(std::span<const uint8_t> bytes);

// Asks the function itself, which takes milliseconds to seconds. Empty if it has none, or its driver or the
// kernel's list of broken devices does not let us.
VitalProductData ReadVpd(const HostRoots& roots, const PciAddress& address);

}  // namespace berth::host
