// The PCI Express capability of emulated endpoints. PCI Express Base 5.0, 7.5.3.
#pragma once

#include <cstdint>

#include "hw/pci/config_space.h"

namespace berth::hw {

// Adds the capability of an endpoint below a root port and returns its offset. Function-level reset is
// offered.
uint16_t AddExpressEndpoint(ConfigSpace* config);

// Whether the guest has just asked for a function-level reset through the capability at `express` (7.5.3.4,
// bit 15); the bit always reads as 0. Call after each write to the configuration space.
bool TakeFunctionLevelReset(ConfigSpace* config, uint16_t express);

}  // namespace berth::hw
