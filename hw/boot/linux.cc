// The 64-bit Linux boot protocol: boot_params, page tables, a GDT. Linux, Documentation/arch/x86/boot.rst
// ("64-bit Boot Protocol") and zero-page.rst.

#include <array>

#include "hw/boot/bzimage.h"
#include "hw/boot/loader.h"
#include "hw/boot/memory_map.h"

namespace berth::hw {
namespace {

constexpr uint64_t kPage = 4 * kKiB;
constexpr uint64_t kEntry64 = 0x200;  // From the start of the protected-mode kernel.

// Offsets in boot_params.
constexpr size_t kAcpiRsdp = 0x70, kE820Entries = 0x1e8, kVideoMode = 0x1fa, kLoaderType = 0x210,
                 kLoadFlags = 0x211, kRamdiskImage = 0x218, kRamdiskSize = 0x21c, kHeapEnd = 0x224,
                 kCommandLinePointer = 0x228, kE820Table = 0x2d0;
constexpr size_t kE820Max = 128, kE820EntrySize = 20;
constexpr uint8_t kLoaderUndefined = 0xff;
constexpr uint8_t kLoadedHigh = 1;
constexpr uint16_t kVideoNormal = 0xffff;

std::array<uint8_t, kPage> BootParams(const BzImage& image, const BootTarget& target, const Range& initrd) {
  std::array<uint8_t, kPage> params{};
  std::copy(image.header.begin(), image.header.end(), params.begin() + BzImage::kHeaderStart);
  StoreLe<uint16_t>(&params[kVideoMode], kVideoNormal);
  params[kLoaderType] = kLoaderUndefined;
  params[kLoadFlags] |= kLoadedHigh;
  StoreLe<uint16_t>(&params[kHeapEnd], 0);
  StoreLe<uint32_t>(&params[kRamdiskImage], static_cast<uint32_t>(initrd.start));
  StoreLe<uint32_t>(&params[kRamdiskSize], static_cast<uint32_t>(initrd.size));
  StoreLe<uint32_t>(&params[kCommandLinePointer], static_cast<uint32_t>(map::kCommandLine));
  StoreLe<uint64_t>(&params[kAcpiRsdp], target.rsdp_address);
  const std::vector<E820Entry> e820 = BuildE820(target.addresses);
  CHECK(e820.size() <= kE820Max);
  params[kE820Entries] = static_cast<uint8_t>(e820.size());
  for (size_t i = 0; i < e820.size(); ++i) {
    uint8_t* entry = &params[kE820Table + i * kE820EntrySize];
    StoreLe<uint64_t>(entry, e820[i].range.start);
    StoreLe<uint64_t>(entry + 8, e820[i].range.size);
    StoreLe<uint32_t>(entry + 16, e820[i].type);
  }
  return params;
}

// The first 4 GiB mapped to themselves in 2 MiB pages: one page of level 4, one of level 3, four of level 2.
std::array<uint64_t, 6 * 512> PageTables() {
  constexpr uint64_t kPresentWritable = 3, kLargePage = 1 << 7;
  std::array<uint64_t, 6 * 512> tables{};
  tables[0] = (map::kPageTables + kPage) | kPresentWritable;
  for (uint64_t i = 0; i < 4; ++i) tables[512 + i] = (map::kPageTables + (2 + i) * kPage) | kPresentWritable;
  for (uint64_t i = 0; i < 4 * 512; ++i) tables[1024 + i] = i * 2 * kMiB | kPresentWritable | kLargePage;
  return tables;
}

// Code at 0x10, data at 0x18, a task at 0x20, as the protocol asks.
constexpr std::array<uint64_t, 6> kGdt = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00008b0000000067,
                                          0};

}  // namespace

Result<BootEntry> LoadLinux(const BootSources& sources, const BootTarget& target) {
  const BzImage image = TRY(ParseBzImage(*sources.kernel));
  const uint64_t ram_end = target.addresses.low_ram.end();
  if (!Range{0, ram_end}.Contains(image.load_address, image.init_size)) {
    return Fail(Error(Code::kResourceExhausted,
                      fmt::format("the kernel needs {} from {:#x} on; the guest's memory ends at {:#x}",
                                  HumanSize(image.init_size), image.load_address, ram_end))
                    .Reason("KERNEL_TOO_LARGE")
                    .Field("guest.memory.size_bytes"));
  }
  TRY(LoadInto(*target.memory, image.load_address, *sources.kernel, image.payload_offset,
               image.payload_size));
  const Range initrd =
      TRY(LoadInitrd(sources, target, image.load_address + image.init_size, image.initrd_last_address));
  TRY(LoadCommandLine(sources, target, image.command_line_max));
  const bool stored = target.memory->Store(map::kBootParams, BootParams(image, target, initrd)) &&
                      target.memory->Store(map::kPageTables, PageTables()) &&
                      target.memory->Store(map::kGdt, kGdt);
  if (!stored) return Fail(Code::kResourceExhausted, "the guest has less than 1 MiB of memory");
  return LinuxEntry{.rip = image.load_address + kEntry64,
                    .boot_params = map::kBootParams,
                    .page_tables = map::kPageTables,
                    .gdt = map::kGdt,
                    .gdt_limit = sizeof(kGdt) - 1};
}

}  // namespace berth::hw
