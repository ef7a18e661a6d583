#include "hw/memory/address_map.h"

#include <algorithm>
#include <bit>

namespace berth::hw {

Result<AddressMap> PlanAddressMap(uint64_t ram_size_bytes, unsigned address_bits, uint64_t mmio64_needed,
                                  uint64_t largest_bar) {
  AddressMap plan;
  plan.low_ram = {0, std::min(ram_size_bytes, map::kLowRamEnd)};
  plan.high_ram = {map::k4GiB, ram_size_bytes - plan.low_ram.size};

  const uint64_t limit = uint64_t{1} << address_bits;
  const uint64_t size = std::bit_ceil(std::max(mmio64_needed, map::kMmio64Least));
  // The window starts at a multiple of its largest BAR, at a place that a little more RAM does not move.
  const uint64_t alignment = std::max(std::bit_ceil(largest_bar), kGiB);
  uint64_t start = AlignUp(std::max(std::bit_ceil(plan.high_ram.end()), map::kMmio64Least), alignment);
  if (Range{start, size}.Overlaps(map::kAmdHole)) start = AlignUp(map::kAmdHole.end(), alignment);
  if (start + size > limit || plan.high_ram.Overlaps(map::kAmdHole)) {
    return Fail(Error(Code::kResourceExhausted,
                      fmt::format("{} of memory and {} for devices do not fit into {} address bits",
                                  HumanSize(ram_size_bytes), HumanSize(mmio64_needed), address_bits))
                    .Reason("ADDRESS_SPACE_EXHAUSTED")
                    .With("addressBits", std::to_string(address_bits))
                    .With("deviceWindowBytes", std::to_string(mmio64_needed)));
  }
  plan.mmio64 = {start, size};
  return plan;
}

}  // namespace berth::hw
