// The configuration space of an assigned function as its guest sees it: which registers are ours, and where
// those are that mean something to us. From a copy of the hardware's; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/error.h"
#include "hw/pci/msi.h"
#include "vfio/bar_plan.h"
#include "vfio/config_overlay.h"

namespace berth::vfio {

// Offsets of the capabilities that the guest sees and we act upon.
struct ConfigLayout {
  std::optional<uint16_t> power, express, advanced_features, msi, msix;
  // The guest may reset the function through them.
  bool express_reset = false, advanced_features_reset = false;
};

// What the guest reads in place of what the device says.
struct PciIdentity {
  std::optional<uint16_t> vendor_id, device_id, subsystem_vendor_id, subsystem_id;
};

struct ConfigFacts {
  bool behind_root_port = false;
  uint8_t interrupt_pin = 0;  // 0 hides it.
  bool has_msi = false;
  std::optional<MsixPlan> msix;  // Without one, MSI-X is hidden.
  PciIdentity identity;
  std::optional<unsigned> gpudirect_clique;  // At most kMaxClique.
};

// What MSI there is: from the capability at `offset` and the number of vectors that VFIO has. nullopt if
// none.
std::optional<hw::Msi::Shape> ReadMsi(std::span<const uint8_t> config, uint16_t offset,
                                      uint32_t vfio_vectors);

// `config` holds at least the header, and may be hostile in all else. UNIMPLEMENTED for what is no endpoint;
// AddCliqueCapability's.
Result<ConfigLayout> BuildConfig(std::span<const uint8_t> config, const ConfigFacts& facts,
                                 ConfigOverlay* overlay);

}  // namespace berth::vfio
