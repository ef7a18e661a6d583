// The host's PCI functions: /sys/bus/pci/devices.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "host/pci_address.h"
#include "host/roots.h"
#include "host/vendor_vgpu.h"

namespace berth::host {

inline constexpr int kRomIndex = 6;

struct PciBar {
  int index = 0;  // 0 to 5; kRomIndex for the expansion ROM.
  // 0: the firmware or the kernel gave it no address; the function cannot be assigned.
  uint64_t address = 0;
  uint64_t size_bytes = 0;
  bool io = false;
  bool is_64bit = false;
  bool prefetchable = false;

  friend bool operator==(const PciBar&, const PciBar&) = default;
};

// What a physical function says of its virtual ones.
struct SriovCapability {
  int total_vfs = 0;
  int num_vfs = 0;  // Enabled now.
  int offset = 0, stride = 0;
  uint16_t vf_device_id = 0;
  bool drivers_autoprobe = true;
  // By VF index; an index whose function is not there (any more, or yet) is std::nullopt.
  std::vector<std::optional<PciAddress>> vfs;
};

// Of a PCI Express function; what it could do and what it does now.
struct PciLink {
  int speed_mtps = 0, max_speed_mtps = 0;  // Megatransfers a second: 16000 is "16.0 GT/s".
  int width = 0, max_width = 0;            // Lanes.

  friend bool operator==(const PciLink&, const PciLink&) = default;
};

struct PciFunction {
  PciAddress address;
  uint16_t vendor_id = 0, device_id = 0, subsystem_vendor_id = 0, subsystem_device_id = 0;
  uint8_t revision = 0;
  uint32_t class_code = 0;  // 24 bits: base class, subclass, programming interface.
  // From pci.ids; empty if it does not know them.
  std::string vendor_name, device_name, class_name;
  std::optional<int> iommu_group;
  std::optional<int> numa_node;                 // None where the firmware does not say (-1).
  std::string driver;                           // Empty: none.
  std::string driver_override;                  // Empty: none.
  std::vector<PciBar> bars;                     // Those of non-zero size.
  std::optional<SriovCapability> sriov;         // A physical function's.
  std::optional<PciAddress> physical_function;  // A virtual function's.
  std::optional<int> vf_index;                  // Its index there, if the PF lists it.
  std::optional<PciAddress> parent;             // The bridge or port above it; none on a root bus.
  std::vector<std::string> reset_methods;       // "flr", "pm", "bus", in the kernel's order of trial.
  std::vector<std::string> interfaces;          // Its network interfaces, sorted.
  bool boot_vga = false;
  std::string power_state;         // "D0", "D3cold"…; empty if unknown.
  std::optional<PciLink> link;     // None where there is no link, or it tells nothing.
  std::optional<VendorVgpu> vgpu;  // Of a VF that its vendor's driver makes a vGPU of.
  std::string vfio_driver;         // Made for it: "vfio-pci" or a variant. Not of one function read alone.

  bool is_bridge() const { return class_code >> 16 == 0x06; }
  bool is_virtual() const { return physical_function.has_value(); }
};

// Every function, by address. Never fails: what vanishes or cannot be read meanwhile is left out.
std::vector<PciFunction> ReadPciFunctions(const HostRoots& roots);
// One function, without its names. NOT_FOUND, reason DEVICE_NOT_FOUND.
Result<PciFunction> ReadPciFunction(const HostRoots& roots, const PciAddress& address);

// "0000:08:00.0 (NVIDIA Corporation GA107GL [A2 / A16])": for messages.
std::string Describe(const PciFunction& function);

}  // namespace berth::host
