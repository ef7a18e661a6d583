// Why the IOMMU refused a mapping, in terms of what the operator can change.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "vfio/dma_space.h"

namespace berth::vfio {

// `errno_value` of VFIO_IOMMU_MAP_DMA, with the limits read at the time (nullptr if that failed too), the
// process's RLIMIT_MEMLOCK (~0 for none) and the bytes of RAM mapped before. Pure. Reasons:
//   DMA_MEMLOCK_LIMIT       RESOURCE_EXHAUSTED  more RAM than the process may lock
//   DMA_ENTRY_LIMIT         RESOURCE_EXHAUSTED  more mappings than the type1 module allows
//   DMA_MEMORY_UNAVAILABLE  RESOURCE_EXHAUSTED  pages that do not come into being: huge pages have run out
//   DMA_ADDRESS_RESERVED    FAILED_PRECONDITION the address is not one that this IOMMU can map
//   DMA_ADDRESS_ALIGNMENT   FAILED_PRECONDITION the IOMMU's pages are larger
Error ExplainMapFailure(int errno_value, const DmaMapping& mapping, const DmaLimits* limits,
                        uint64_t memlock_limit_bytes, uint64_t mapped_bytes);

}  // namespace berth::vfio
