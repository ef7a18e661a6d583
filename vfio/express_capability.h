// The PCI Express capability of an assigned function, made to fit the place it has in the guest. PCI Express
// Base 5.0, 7.5.3. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "base/error.h"
#include "vfio/config_overlay.h"

namespace berth::vfio {

enum class ExpressVerdict {
  kShow,
  kHide,  // The guest does better without it.
};

// Under the host bridge a function is an integrated endpoint, which has no link; below a root port it is an
// endpoint at the end of one. UNIMPLEMENTED for ports and bridges.
Result<ExpressVerdict> FitExpressCapability(std::span<const uint8_t> config, uint16_t offset,
                                            bool behind_root_port, ConfigOverlay* overlay);

}  // namespace berth::vfio
