#include "vfio/dma_failure.h"

#include <algorithm>
#include <cerrno>

namespace berth::vfio {
namespace {

bool Valid(const Range& wanted, const DmaLimits& limits) {
  return limits.valid.empty() ||
         std::any_of(limits.valid.begin(), limits.valid.end(),
                     [&](const Range& range) { return range.Contains(wanted.start, wanted.size); });
}

std::string Hex(const Range& range) { return fmt::format("{:#x}-{:#x}", range.start, range.end() - 1); }

std::string Hex(const std::vector<Range>& ranges) {
  constexpr size_t kShown = 8;
  std::string text;
  for (size_t i = 0; i < std::min(ranges.size(), kShown); ++i) {
    text += (i == 0 ? "" : ", ") + Hex(ranges[i]);
  }
  if (ranges.size() > kShown) text += fmt::format(" and {} more", ranges.size() - kShown);
  return text;
}

Error Reserved(const DmaMapping& mapping, const DmaLimits& limits) {
  return Error(Code::kFailedPrecondition,
               fmt::format(
                   "guest addresses {} cannot be mapped for DMA: the IOMMU allows {} (the rest is reserved "
                   "or beyond its address width)",
                   Hex(mapping.range()), Hex(limits.valid)))
      .Reason("DMA_ADDRESS_RESERVED")
      .With("iova", Hex(mapping.range()))
      .With("validRanges", Hex(limits.valid));
}

Error Misaligned(const DmaMapping& mapping, uint64_t page) {
  return Error(Code::kFailedPrecondition,
               fmt::format("guest addresses {} cannot be mapped for DMA: the IOMMU's smallest page is {}",
                           Hex(mapping.range()), HumanSize(page)))
      .Reason("DMA_ADDRESS_ALIGNMENT")
      .With("iova", Hex(mapping.range()))
      .With("pageSize", std::to_string(page));
}

Error MemlockLimit(const DmaMapping& mapping, uint64_t limit_bytes, uint64_t mapped_bytes) {
  const std::string limit = limit_bytes == ~uint64_t{0} ? "unlimited" : HumanSize(limit_bytes);
  return Error(Code::kResourceExhausted,
               fmt::format(
                   "{} of guest memory cannot be locked for DMA beside the {} locked already: the limit on "
                   "locked memory (RLIMIT_MEMLOCK) is {}; an assigned device needs all of the guest's "
                   "memory, and some more",
                   HumanSize(mapping.size), HumanSize(mapped_bytes), limit))
      .Reason("DMA_MEMLOCK_LIMIT")
      .With("sizeBytes", std::to_string(mapping.size))
      .With("lockedBytes", std::to_string(mapped_bytes))
      .With("memlockLimit", limit);
}

}  // namespace

Error ExplainMapFailure(int errno_value, const DmaMapping& mapping, const DmaLimits* limits,
                        uint64_t memlock_limit_bytes, uint64_t mapped_bytes) {
  const Range& range = mapping.range();
  if (errno_value == EINVAL && limits != nullptr) {
    const uint64_t page = limits->smallest_page();
    if (!IsAligned(range.start | range.size | reinterpret_cast<uintptr_t>(mapping.address), page)) {
      return Misaligned(mapping, page);
    }
    if (!Valid(range, *limits)) return Reserved(mapping, *limits);
  }
  if (errno_value == ENOMEM && !mapping.device_memory) {
    return MemlockLimit(mapping, memlock_limit_bytes, mapped_bytes);
  }
  if (errno_value == ENOSPC) {
    return Error(
               Code::kResourceExhausted,
               fmt::format("guest addresses {} cannot be mapped for DMA: no further mapping is allowed (the "
                           "dma_entry_limit of the module vfio_iommu_type1, 65535 unless set)",
                           Hex(range)))
        .Reason("DMA_ENTRY_LIMIT")
        .With("iova", Hex(range));
  }
  if (errno_value == EFAULT && !mapping.device_memory) {
    return Error(Code::kResourceExhausted,
                 fmt::format(
                     "{} of guest memory at {} cannot be had for DMA: its pages do not come into being, "
                     "which is what happens when huge pages or memory of the wanted NUMA node run out",
                     HumanSize(mapping.size), Hex(range)))
        .Reason("DMA_MEMORY_UNAVAILABLE")
        .With("iova", Hex(range))
        .With("sizeBytes", std::to_string(mapping.size));
  }
  if (errno_value == EEXIST) {
    return Error(Code::kInternal, fmt::format("guest addresses {} are mapped for DMA already", Hex(range)));
  }
  return SystemError(errno_value, fmt::format("map {} for DMA", Hex(range)));
}

}  // namespace berth::vfio
