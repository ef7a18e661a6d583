// The PVH boot protocol: an ELF kernel entered in 32-bit protected mode with a start info structure (Xen,
// docs/misc/pvh.pandoc and the public header hvm/start_info.h).

#include <array>

#include "hw/boot/elf.h"
#include "hw/boot/loader.h"
#include "hw/boot/memory_map.h"

namespace berth::hw {
namespace {

constexpr uint32_t kStartInfoMagic = 0x336ec578, kStartInfoVersion = 1;

struct StartInfo {
  uint32_t magic, version, flags, module_count;
  uint64_t modules, command_line, rsdp, memory_map;
  uint32_t memory_map_entries, reserved;
};
struct Module {
  uint64_t address, size, command_line, reserved;
};
struct MemoryMapEntry {
  uint64_t address, size;
  uint32_t type, reserved;
};
static_assert(sizeof(StartInfo) == 56 && sizeof(Module) == 32 && sizeof(MemoryMapEntry) == 24);

constexpr uint64_t kModules = map::kPvhStartInfo + sizeof(StartInfo);
constexpr uint64_t kMemoryMap = kModules + sizeof(Module);

Status Zero(const GuestMemory& memory, uint64_t address, uint64_t size) {
  static constexpr std::array<uint8_t, 64 * kKiB> kZeros{};
  for (uint64_t done = 0; done < size;) {
    const uint64_t part = std::min<uint64_t>(size - done, kZeros.size());
    if (!memory.Write(address + done, std::span(kZeros).first(part))) {
      return Fail(Code::kResourceExhausted, "the kernel does not fit into the guest's memory");
    }
    done += part;
  }
  return Ok();
}

}  // namespace

Result<BootEntry> LoadPvh(const BootSources& sources, const BootTarget& target) {
  const ElfImage image = TRY(ParseElf(*sources.kernel));
  uint64_t kernel_end = 0;
  for (const ElfImage::Segment& segment : image.segments) {
    TRY(LoadInto(*target.memory, segment.address, *sources.kernel, segment.file_offset, segment.file_size));
    TRY(Zero(*target.memory, segment.address + segment.file_size, segment.memory_size - segment.file_size));
    kernel_end = std::max(kernel_end, segment.address + segment.memory_size);
  }
  const Range initrd = TRY(LoadInitrd(sources, target, kernel_end, map::k4GiB - 1));
  TRY(LoadCommandLine(sources, target, map::kCommandLineMax - 1));

  const std::vector<E820Entry> e820 = BuildE820(target.addresses);
  const StartInfo info{.magic = kStartInfoMagic,
                       .version = kStartInfoVersion,
                       .flags = 0,
                       .module_count = initrd.size != 0 ? 1u : 0u,
                       .modules = kModules,
                       .command_line = map::kCommandLine,
                       .rsdp = target.rsdp_address,
                       .memory_map = kMemoryMap,
                       .memory_map_entries = static_cast<uint32_t>(e820.size()),
                       .reserved = 0};
  bool stored = target.memory->Store(map::kPvhStartInfo, info) &&
                target.memory->Store(kModules, Module{initrd.start, initrd.size, 0, 0});
  for (size_t i = 0; i < e820.size(); ++i) {
    const MemoryMapEntry entry{e820[i].range.start, e820[i].range.size, e820[i].type, 0};
    stored = stored && target.memory->Store(kMemoryMap + i * sizeof(entry), entry);
  }
  if (!stored) return Fail(Code::kResourceExhausted, "the guest has less than 1 MiB of memory");
  return PvhEntry{image.pvh_entry, static_cast<uint32_t>(map::kPvhStartInfo)};
}

}  // namespace berth::hw
