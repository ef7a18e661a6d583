// An ELF kernel with a PVH entry point (an uncompressed vmlinux). ELF-64 object file format; Xen's PVH start
// note.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "hw/boot/byte_source.h"

namespace berth::hw {

struct ElfImage {
  struct Segment {
    uint64_t file_offset = 0;
    uint64_t file_size = 0;
    uint64_t address = 0;      // Physical.
    uint64_t memory_size = 0;  // The rest is zero.
  };
  std::vector<Segment> segments;
  uint32_t pvh_entry = 0;  // Physical, 32-bit.
};

bool LooksLikeElf(ByteSource& file);

// INVALID_ARGUMENT, saying what is wrong, for anything but a little-endian x86-64 ELF file with loadable
// segments in the first 4 GiB and a PVH note.
Result<ElfImage> ParseElf(ByteSource& file);

}  // namespace berth::hw
