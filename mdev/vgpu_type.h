// Makes a virtual function a vGPU of a type, where the vendor's driver does that instead of mediated devices:
// host/vendor_vgpu.h.
#pragma once

#include "base/error.h"
#include "host/control/control.h"
#include "host/pci_address.h"

namespace berth::mdev {

// Store it before SetVgpuType.
struct VgpuTypeChange {
  host::PciAddress address;
  int type = 0;

  friend bool operator==(const VgpuTypeChange&, const VgpuTypeChange&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("address", self.address);
    visit("type", self.type);
  }
};

// NOT_FOUND: DEVICE_NOT_FOUND; MDEV_TYPE_NOT_FOUND (the function cannot become one, with those it can).
// FAILED_PRECONDITION: NOT_A_VGPU (it has no such driver), VGPU_IN_USE (it is a vGPU already: not ours to
// clear).
Result<VgpuTypeChange> PlanVgpuType(const host::HostRoots& roots, const host::PciAddress& address, int type);
// Writes and reads back. RESOURCE_EXHAUSTED, NO_MDEV_INSTANCE_LEFT; FAILED_PRECONDITION, VGPU_TYPE_NOT_SET;
// DEADLINE_EXCEEDED.
Status SetVgpuType(const host::HostControl& control, const VgpuTypeChange& change);
// Ok if the function is gone, or is no vGPU, or one of another type by now. FAILED_PRECONDITION, VGPU_BUSY;
// DEADLINE_EXCEEDED while somebody has it open.
Status ClearVgpuType(const host::HostControl& control, const VgpuTypeChange& change);

}  // namespace berth::mdev
