// Which part of a mapping the host has memory for already.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace berth::vmm {

// Runs of pages, as offsets from `address`, that are in memory (mincore(2)): what was written, what is
// pinned. At most `most` bytes in all. None if the kernel does not say.
std::vector<Range> ResidentRuns(const uint8_t* address, uint64_t size_bytes, uint64_t most);

}  // namespace berth::vmm
