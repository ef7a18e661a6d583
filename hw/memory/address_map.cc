#include "hw/memory/address_map.h"

#include <algorithm>
#include <bit>

namespace berth::hw {

Result<AddressMap> PlanAddressMap(uint64_t ram_size_bytes, unsigned address_bits, uint64_t mmio64_needed,
                                  uint64_t largest_bar) {
  AddressMap plan;
  plan.low_ram = {0, std::min(ram_size_bytes, map::kLowRamEnd)};
  plan.high_ram = {map::k4GiB, ram_size_bytes - plan.low_ram.size};

  // The window starts at a multiple of its largest BAR.
  const uint64_t alignment = std::max(std::bit_ceil(largest_bar), kGiB);
  const auto place = [&](uint64_t from, uint64_t size) {
    const uint64_t start = AlignUp(from, alignment);
    if (Range{start, size}.Overlaps(map::kAmdHole))
      return Range{AlignUp(map::kAmdHole.end(), alignment), size};
    return Range{start, size};
  };
  const uint64_t limit = uint64_t{1} << address_bits;
  // A little more RAM does not move it.
  plan.mmio64 = place(std::max(std::bit_ceil(plan.high_ram.end()), map::kMmio64Least),
                      std::bit_ceil(std::max(mmio64_needed, map::kMmio64Least)));
  if (plan.mmio64.end() > limit)
    plan.mmio64 = place(plan.high_ram.end(), AlignUp(std::max(mmio64_needed, kGiB), kGiB));
  if (plan.mmio64.end() > limit || plan.high_ram.Overlaps(map::kAmdHole)) {
    return Fail(Error(Code::kResourceExhausted,
                      fmt::format("{} of memory and {} for devices do not fit into {} address bits",
                                  HumanSize(ram_size_bytes), HumanSize(mmio64_needed), address_bits))
                    .Reason("ADDRESS_SPACE_EXHAUSTED")
                    .With("addressBits", std::to_string(address_bits))
                    .With("deviceWindowBytes", std::to_string(mmio64_needed)));
  }
  return plan;
}

}  // namespace berth::hw
