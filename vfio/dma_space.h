// Where assigned devices' DMA goes: I/O virtual addresses (the guest's physical ones) to memory of this
// process. One interface over the IOMMU's user interfaces: type1_container.h today.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace berth::vfio {

struct DmaMapping {
  uint64_t iova = 0;
  uint8_t* address = nullptr;  // Borrowed: stays mapped in this process until the mapping is undone.
  uint64_t size = 0;
  bool writable = true;  // By the device. Every mapping is readable.
  // A device's memory, which cannot be pinned as RAM is.
  bool device_memory = false;

  Range range() const { return {iova, size}; }
};

// What an IOMMU allows, as of now: it changes with the devices behind it.
struct DmaLimits {
  uint64_t page_sizes = 4 * kKiB;  // A bit a size. Mappings are multiples of the smallest.
  // Addresses that may be mapped, in order; empty where nothing is excluded (mediated devices only).
  std::vector<Range> valid;
  std::optional<uint32_t> available_mappings;

  uint64_t smallest_page() const { return page_sizes & -page_sizes; }
};

// Any thread.
class DmaSpace {
 public:
  virtual ~DmaSpace() = default;
  // Pins (RAM) and maps. Fails as ExplainMapFailure (dma_failure.h) says.
  virtual Status Map(const DmaMapping& mapping) = 0;
  // Undoes one mapping, whole.
  virtual Status Unmap(Range range) = 0;
  virtual Result<DmaLimits> Limits() const = 0;
};

}  // namespace berth::vfio
