// vGPUs that are not mediated devices: since Linux 6.8 NVIDIA's driver makes a virtual function a vGPU when a
// type's number is written to the function's nvidia/current_vgpu_type. NVIDIA vGPU software documentation,
// "Creating an NVIDIA vGPU on a Linux with KVM Hypervisor that uses a Vendor-Specific VFIO Framework".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/sysfs.h"

namespace berth::host {

struct VgpuType {
  int id = 0;        // 1148
  std::string name;  // "NVIDIA L40S-2Q"

  friend bool operator==(const VgpuType&, const VgpuType&) = default;
};

struct VendorVgpu {
  int current_type = 0;  // 0: it is no vGPU now.
  // What it could become now, by id; empty while it is one.
  std::vector<VgpuType> creatable_types;

  friend bool operator==(const VendorVgpu&, const VendorVgpu&) = default;
};

// Of a function's directory "nvidia". None if it has no such interface.
std::optional<VendorVgpu> ReadVendorVgpu(const SysfsDirectory& directory);

// Lines of "ID : NAME" after a heading; others are passed over.
std::vector<VgpuType> ParseVgpuTypes(std::string_view text);

}  // namespace berth::host
