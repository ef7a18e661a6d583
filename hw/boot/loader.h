// Puts a kernel, its initrd and what they are told into guest memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "base/error.h"
#include "hw/boot/byte_source.h"
#include "hw/memory/address_map.h"
#include "hw/memory/guest_memory.h"

namespace berth::hw {

struct BootSources {
  ByteSource* kernel = nullptr;
  ByteSource* initrd = nullptr;  // Or none.
  std::string command_line;
};

struct BootTarget {
  const GuestMemory* memory = nullptr;
  AddressMap addresses;
  uint64_t rsdp_address = 0;
};

// How the first vCPU starts.
struct LinuxEntry {  // 64-bit boot protocol: paging on, RSI = boot_params.
  uint64_t rip = 0, boot_params = 0, page_tables = 0, gdt = 0;
  uint16_t gdt_limit = 0;
};
struct PvhEntry {  // 32-bit protected mode, EBX = start info.
  uint32_t eip = 0, start_info = 0;
};
using BootEntry = std::variant<LinuxEntry, PvhEntry>;

// INVALID_ARGUMENT for a file that is no kernel or a command line that is too long, RESOURCE_EXHAUSTED if
// kernel and initrd do not fit into the memory below 4 GiB (with the sizes). Nothing of guest memory is
// assumed to be zero.
Result<BootEntry> LoadBoot(const BootSources& sources, const BootTarget& target);

// Parts of it, each in its own file.
Result<BootEntry> LoadLinux(const BootSources& sources, const BootTarget& target);  // linux.cc
Result<BootEntry> LoadPvh(const BootSources& sources, const BootTarget& target);    // pvh.cc

// Reads `size` bytes of `file` at `offset` straight into guest memory.
Status LoadInto(const GuestMemory& memory, uint64_t address, ByteSource& file, uint64_t offset,
                uint64_t size);
// Loads the initrd as high as it fits below `last_address` and above `lowest`; its range (empty without an
// initrd).
Result<Range> LoadInitrd(const BootSources& sources, const BootTarget& target, uint64_t lowest,
                         uint64_t last_address);
// The command line with its end at map::kCommandLine.
Status LoadCommandLine(const BootSources& sources, const BootTarget& target, uint64_t max_bytes);

}  // namespace berth::hw
