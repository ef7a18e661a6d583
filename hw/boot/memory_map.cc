#include "hw/boot/memory_map.h"

namespace berth::hw {

std::vector<E820Entry> BuildE820(const AddressMap& addresses) {
  std::vector<E820Entry> entries = {
      {map::kLowMemory, E820Entry::kUsable},
      {map::kLegacyHole, E820Entry::kReserved},
      {{map::kHighMemoryStart, addresses.low_ram.end() - map::kHighMemoryStart}, E820Entry::kUsable},
      {map::kEcam, E820Entry::kReserved},
  };
  if (addresses.high_ram.size != 0) entries.push_back({addresses.high_ram, E820Entry::kUsable});
  return entries;
}

}  // namespace berth::hw
