// The region tree without overlaps: sorted, disjoint ranges. Immutable, so any thread may read it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "hw/memory/region.h"

namespace berth::hw {

// One run of addresses with one thing behind it: kRam, kDeviceMemory or kIo.
struct FlatRange {
  uint64_t start = 0;
  uint64_t size = 0;
  Region::Kind kind = Region::Kind::kIo;
  bool writable = true;
  IoHandler* handler = nullptr;   // kIo; kDeviceMemory, for accesses that trap, or nullptr.
  uint64_t offset_in_region = 0;  // What the handler is told for an access at `start`.
  HostMapping mapping;            // kRam, kDeviceMemory: exactly these `size` bytes.

  Range range() const { return {start, size}; }
  // Whether both show the same thing at the same addresses.
  bool SameAs(const FlatRange& other) const;
};

// An IoEvent at its place in the address space.
struct FlatIoEvent {
  uint64_t address = 0;
  IoEvent event;
  friend bool operator==(const FlatIoEvent&, const FlatIoEvent&) = default;
};

struct FlatView {
  std::vector<FlatRange> ranges;       // Sorted by start.
  std::vector<FlatIoEvent> io_events;  // Only where they are visible.

  // The range that holds `address`, or nullptr.
  const FlatRange* Find(uint64_t address) const;
};

// Pure. Aliases deeper than 16 are cut off (a loop of aliases is a bug of ours, not a hang).
FlatView Flatten(const Region& root);

}  // namespace berth::hw
