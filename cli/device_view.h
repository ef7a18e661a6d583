// Host devices as they are printed.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "berth/v1/host.pb.h"

namespace berth::cli {

// "VF", "PF 2/7" (how many there are, and can be), "PCI", "mdev", "mdev parent".
std::string DeviceKind(const berth::v1::HostDevice& device);

// A line a device, and what mediated devices could be made.
void PrintDeviceTable(std::ostream& out, const std::vector<berth::v1::HostDevice>& devices);
// By NUMA node, port and IOMMU group.
void PrintDeviceTree(std::ostream& out, const std::vector<berth::v1::HostDevice>& devices);
// All there is to know of one.
void PrintDevice(std::ostream& out, const berth::v1::HostDevice& device);

}  // namespace berth::cli
