// NVIDIA's capability by which a hypervisor tells the guest's driver that GPUs may use each other's memory
// directly: those of one clique. NVIDIA, "GPUDirect P2P on virtual machines" (2017). Pure.
#pragma once

#include <cstdint>
#include <span>

#include "base/error.h"
#include "vfio/config_overlay.h"
#include "vfio/pci_capabilities.h"

namespace berth::vfio {

inline constexpr unsigned kMaxClique = 15;

// Makes `overlay` have the capability, all but its link, and returns where; it is to be the last of the
// chain. `present` are all that the hardware has. FAILED_PRECONDITION: NOT_AN_NVIDIA_GPU; NO_ROOM_FOR_CLIQUE.
Result<Capability> AddCliqueCapability(std::span<const uint8_t> config, std::span<const Capability> present,
                                       unsigned clique, ConfigOverlay* overlay);

}  // namespace berth::vfio
