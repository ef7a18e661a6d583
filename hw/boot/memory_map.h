// The map of memory that a kernel is given (e820). Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "hw/memory/address_map.h"

namespace berth::hw {

struct E820Entry {
  static constexpr uint32_t kUsable = 1, kReserved = 2;
  Range range;
  uint32_t type = kUsable;
  friend bool operator==(const E820Entry&, const E820Entry&) = default;
};

// Sorted; RAM is usable but for the hole below 1 MiB (the ACPI tables are in it), the ECAM window is
// reserved.
std::vector<E820Entry> BuildE820(const AddressMap& addresses);

}  // namespace berth::hw
