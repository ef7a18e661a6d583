// The header of a Linux kernel image (bzImage). Linux, Documentation/arch/x86/boot.rst. Pure.
#pragma once

#include <array>
#include <cstdint>

#include "base/error.h"
#include "hw/boot/byte_source.h"

namespace berth::hw {

struct BzImage {
  // Offset and size of the setup header within boot_params and within the file's first sectors.
  static constexpr uint16_t kHeaderStart = 0x1f1;
  static constexpr size_t kHeaderMax = 0x290 - kHeaderStart;

  std::array<uint8_t, kHeaderMax> header{};  // As in the file, cut at its own length; zero behind it.
  uint64_t payload_offset = 0;               // In the file: the protected-mode part.
  uint64_t payload_size = 0;
  uint64_t load_address = 0;         // Where the kernel prefers to be.
  uint64_t init_size = 0;            // Memory it needs from there on before it reads the memory map.
  uint64_t initrd_last_address = 0;  // The last byte of an initrd may be here at most.
  uint64_t command_line_max = 0;     // Bytes, without the end.
};

// Whether the file has the boot sector's signature and "HdrS".
bool LooksLikeBzImage(ByteSource& file);

// INVALID_ARGUMENT, saying what is wrong, if it is no kernel that the 64-bit boot protocol (2.12 or later)
// can start.
Result<BzImage> ParseBzImage(ByteSource& file);

}  // namespace berth::hw
