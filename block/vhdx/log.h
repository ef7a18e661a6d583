// The log through which vhdx tables change: sectors of 4 KiB that are in the log as a whole before they are
// written where they belong.
#pragma once

#include <cstdint>
#include <span>

#include "base/error.h"
#include "block/slice_cache.h"
#include "block/vhdx/header.h"

namespace berth::block::vhdx {

// Carries out what the log holds, if its active sequence is complete.
Status ReplayLog(Image* file, const Header& header);

// Sectors that one entry can have, in a half of a log of this size.
size_t SectorsOfEntry(uint64_t log_bytes);
// An entry of its own, to be at `place` in the log, which is a multiple of kLogSectorBytes.
std::vector<uint8_t> MakeLogEntry(std::span<const DirtySlice> sectors, const Guid& log, uint64_t sequence,
                                  uint64_t place, uint64_t file_bytes);

}  // namespace berth::block::vhdx
