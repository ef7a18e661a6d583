// How the BARs of an assigned function are shown: their kind and size, what of them is mapped into the guest
// and what traps, and where the MSI-X structures are. Decided from what VFIO and the configuration space say;
// pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "hw/pci/function.h"
#include "vfio/device.h"

namespace berth::vfio {

struct MsixPlan {
  unsigned vectors = 0;
  unsigned table_bar = 0, pba_bar = 0;
  uint32_t table_offset = 0, pba_offset = 0;
  // The structures are in a BAR of their own, which the hardware does not have.
  bool relocated = false;
};

struct BarPlan {
  hw::BarRequest request;
  // Mapped from the device (exactly these), and, of those, shown to the guest. The rest traps.
  std::vector<Range> map, show;
  bool unassigned = false;  // The configuration space says nothing of it: the host may not have placed it.
};

struct FunctionPlan {
  std::vector<BarPlan> bars;  // By request.index; one of a relocated MSI-X has nothing to map.
  std::optional<MsixPlan> msix;
};

// What MSI-X there is: from the capability at `offset` and the number of vectors that VFIO has. nullopt if
// none.
std::optional<MsixPlan> ReadMsix(std::span<const uint8_t> config, uint16_t offset, uint32_t vfio_vectors);

// `regions` are BAR 0 to 5 and the ROM, in VFIO's order. With `relocate_msix`, or where the hardware's word
// on the place of its structures is no good, MSI-X goes to a free BAR; without one it is dropped.
// FAILED_PRECONDITION or UNIMPLEMENTED for BARs that cannot be.
Result<FunctionPlan> PlanFunction(std::span<const uint8_t> config, std::span<const RegionInfo> regions,
                                  std::optional<MsixPlan> msix, bool relocate_msix);

// `areas` without the pages that `holes` touch.
std::vector<Range> CutPages(std::vector<Range> areas, std::span<const Range> holes);

}  // namespace berth::vfio
