// A PCI Express root port: one link, one device behind it. PCI-to-PCI Bridge 1.2 chapter 3, PCI Express
// Base 5.0, 7.5.
#pragma once

#include <memory>
#include <string>

#include "hw/pci/bus.h"

namespace berth::hw {

struct RootPortOptions {
  std::string name;
  uint8_t port_number = 0;  // Unique on the machine; the slot's number as well.
  Devfn devfn = 0;          // Where it will be on the root bus.
  uint64_t reserved_memory_bytes = 0;
  uint64_t reserved_prefetchable_bytes = 0;
};

std::unique_ptr<PciBridge> CreateRootPort(const RootPortOptions& options, const PciBus& parent);

}  // namespace berth::hw
