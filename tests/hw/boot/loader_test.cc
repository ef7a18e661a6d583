#include "hw/boot/loader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/boot/memory_map.h"
#include "tests/fakes/fake_ram.h"
#include "tests/fakes/kernel_images.h"

namespace berth::hw {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

// A guest with 32 MiB, all of it full of what an earlier guest left.
struct LoaderTest : testing::Test {
  LoaderTest() { std::memset(ram.At(0, kSize), 0xcc, kSize); }

  Result<BootEntry> Load(const KernelFile& kernel) {
    SpanSource kernel_source(kernel), initrd_source(initrd);
    return LoadBoot({.kernel = &kernel_source,
                     .initrd = initrd.empty() ? nullptr : &initrd_source,
                     .command_line = command_line},
                    {.memory = &ram.memory(), .addresses = addresses, .rsdp_address = 0xe0000});
  }
  // A field of boot_params, by its offset in Documentation/arch/x86/zero-page.rst.
  template <typename T>
  T Param(uint64_t offset) {
    return ram.Get<T>(map::kBootParams + offset);
  }

  static constexpr uint64_t kSize = 32 * kMiB;
  FakeRam ram{{{0, kSize}}};
  AddressMap addresses{.low_ram = {0, kSize}, .high_ram = {map::k4GiB, 0}, .mmio64 = {}};
  KernelFile initrd;
  std::string command_line = "console=ttyS0";
};

TEST_F(LoaderTest, LinuxIsLoadedWhereItWantsToBe) {
  KernelFile kernel = MakeBzImage(0x1001);
  kernel[1024 + 0x200] = 0x77;
  const auto loaded = Load(kernel);
  ASSERT_TRUE(loaded) << loaded.error().message();
  const auto& entry = std::get<LinuxEntry>(*loaded);
  EXPECT_EQ(entry.rip, 0x1000200u);  // "startup_64 is loaded kernel start address plus 0x200"
  EXPECT_EQ(ram.Get<uint8_t>(entry.rip), 0x77);
  EXPECT_EQ(ram.Get<uint8_t>(0x1001000), 0x90);
  EXPECT_EQ(ram.Text(map::kCommandLine, 14), std::string_view("console=ttyS0\0", 14));
}

TEST_F(LoaderTest, BootParamsSayWhereEverythingIs) {
  initrd.assign(5000, 0x42);
  ASSERT_TRUE(Load(MakeBzImage()));
  EXPECT_EQ(ram.Text(map::kBootParams + 0x202, 4), "HdrS");
  EXPECT_EQ(Param<uint8_t>(0x210), 0xff);  // type_of_loader
  EXPECT_EQ(Param<uint8_t>(0x211) & 1, 1);
  EXPECT_EQ(Param<uint32_t>(0x228), map::kCommandLine);
  EXPECT_EQ(Param<uint64_t>(0x70), 0xe0000u);  // acpi_rsdp_addr
  EXPECT_EQ(Param<uint32_t>(0x21c), 5000u);
  const uint64_t address = Param<uint32_t>(0x218);
  EXPECT_TRUE(IsAligned(address, 4096));
  EXPECT_EQ(ram.Get<uint8_t>(address), 0x42);
  EXPECT_EQ(ram.Get<uint8_t>(address + 4999), 0x42);
  EXPECT_EQ(Param<uint8_t>(0x1e8), 4);  // e820_entries
  EXPECT_EQ(Param<uint64_t>(0x2d0), 0u);
  EXPECT_EQ(Param<uint64_t>(0x2d8), map::kLowMemory.size);
  EXPECT_EQ(Param<uint8_t>(0x1ef), 0);  // sentinel: nothing of what was there before is left.
}

TEST_F(LoaderTest, TheInitrdGoesAsHighAsItMay) {
  initrd.assign(4096, 0x42);
  KernelFile kernel = MakeBzImage();
  ASSERT_TRUE(Load(kernel));
  EXPECT_EQ(Param<uint32_t>(0x218), kSize - 4096);
  StoreLe<uint32_t>(&kernel[0x22c], 24 * kMiB - 1);  // initrd_addr_max
  ASSERT_TRUE(Load(kernel));
  EXPECT_EQ(Param<uint32_t>(0x218), 24 * kMiB - 4096);
}

TEST_F(LoaderTest, AnInitrdThatDoesNotFitIsNamed) {
  initrd.resize(15 * kMiB);  // 14 MiB are left above the kernel.
  const auto loaded = Load(MakeBzImage());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(loaded.error().reason(), "INITRD_TOO_LARGE");
}

TEST_F(LoaderTest, AKernelThatDoesNotFitIsNamed) {
  addresses.low_ram.size = 17 * kMiB;
  const auto loaded = Load(MakeBzImage());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(loaded.error().reason(), "KERNEL_TOO_LARGE");
}

TEST_F(LoaderTest, ACommandLineThatIsTooLongIsNamed) {
  command_line.assign(2048, 'x');  // The kernel takes 2047.
  const auto loaded = Load(MakeBzImage());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(loaded.error().reason(), "COMMAND_LINE_TOO_LONG");
  EXPECT_THAT(loaded.error().message(), HasSubstr("2048"));
}

TEST_F(LoaderTest, TheFirst4GiBAreMappedToThemselves) {
  // "At entry, the CPU must be in 64-bit mode with paging enabled. The range with setup_header.init_size from
  // start address of loaded kernel and zero page and command line buffer get identity mapping".
  const auto loaded = Load(MakeBzImage());
  ASSERT_TRUE(loaded);
  const uint64_t level4 = std::get<LinuxEntry>(*loaded).page_tables;
  for (const uint64_t address : {uint64_t{0}, uint64_t{0x1000200}, uint64_t{0xffe00000}}) {
    const uint64_t level3 = ram.Get<uint64_t>(level4) & ~uint64_t{0xfff};
    const uint64_t level2 = ram.Get<uint64_t>(level3 + 8 * (address >> 30)) & ~uint64_t{0xfff};
    const uint64_t entry = ram.Get<uint64_t>(level2 + 8 * (address >> 21 & 511));
    EXPECT_EQ(entry & ~uint64_t{0xfff}, AlignDown(address, 2 * kMiB));
    EXPECT_EQ(entry & 0x83, 0x83u);  // Present, writable, 2 MiB.
  }
}

TEST_F(LoaderTest, PvhLoadsSegmentsAndClearsWhatFollowsThem) {
  initrd.assign(100, 0x42);
  const auto loaded = Load(ElfKernel().File());
  ASSERT_TRUE(loaded) << loaded.error().message();
  const auto& entry = std::get<PvhEntry>(*loaded);
  EXPECT_EQ(entry.eip, 0x100000u);
  EXPECT_EQ(ram.Get<uint8_t>(0x100fff), 0x90);
  EXPECT_EQ(ram.Get<uint8_t>(0x101000), 0);
  EXPECT_EQ(ram.Get<uint8_t>(0x101fff), 0);
  EXPECT_EQ(ram.Get<uint8_t>(0x102000), 0xcc);
  // struct hvm_start_info: magic, version, flags, nr_modules, modlist, cmdline, rsdp, memory map.
  const uint64_t info = entry.start_info;
  EXPECT_EQ(ram.Get<uint32_t>(info), 0x336ec578u);
  EXPECT_EQ(ram.Get<uint32_t>(info + 4), 1u);
  EXPECT_EQ(ram.Get<uint32_t>(info + 12), 1u);
  const uint64_t module = ram.Get<uint64_t>(info + 16);
  EXPECT_EQ(ram.Get<uint64_t>(module + 8), 100u);
  EXPECT_EQ(ram.Get<uint8_t>(ram.Get<uint64_t>(module)), 0x42);
  EXPECT_EQ(ram.Get<uint64_t>(info + 24), map::kCommandLine);
  EXPECT_EQ(ram.Get<uint64_t>(info + 32), 0xe0000u);
  EXPECT_EQ(ram.Get<uint32_t>(info + 48), 4u);
  EXPECT_EQ(ram.Get<uint64_t>(ram.Get<uint64_t>(info + 40) + 8), map::kLowMemory.size);
}

TEST_F(LoaderTest, APvhKernelAboveTheGuestsMemoryIsRefused) {
  ElfKernel kernel;
  kernel.segments[0].p_paddr = 64 * kMiB;
  const auto loaded = Load(kernel.File());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), Code::kResourceExhausted);
}

TEST_F(LoaderTest, WhatIsNoKernelIsRefusedWithTheFieldThatNamesIt) {
  for (const KernelFile& file : {KernelFile{}, KernelFile(100, 'x'), KernelFile(4096, 0), MakeBzImage(0)}) {
    const auto loaded = Load(file);
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code(), Code::kInvalidArgument);
    EXPECT_EQ(loaded.error().reason(), "KERNEL_UNUSABLE");
    EXPECT_EQ(loaded.error().field(), "guest.boot.kernel");
  }
}

TEST_F(LoaderTest, AFileThatShrinksWhileItIsReadIsAnError) {
  const KernelFile kernel = MakeBzImage(64 * kKiB);
  const UniqueFd file(::memfd_create("kernel", MFD_CLOEXEC));
  ASSERT_EQ(::write(file.get(), kernel.data(), kernel.size()), static_cast<ssize_t>(kernel.size()));
  auto source = *FileSource::Create(file.get(), "kernel");
  ASSERT_EQ(::ftruncate(file.get(), 8192), 0);
  const auto loaded = LoadBoot({.kernel = &source, .initrd = nullptr, .command_line = {}},
                               {.memory = &ram.memory(), .addresses = addresses, .rsdp_address = 0});
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message(), HasSubstr("the kernel ends at byte 8192"));
}

TEST(FileSource, TakesRegularFilesOnly) {
  const auto source = FileSource::Create(CreateEventFd()->get(), "kernel");
  ASSERT_FALSE(source);
}

TEST(E820, IsSortedAndLeavesOutTheHoles) {
  const auto plan = PlanAddressMap(8 * kGiB, 46, 0, 0);
  const std::vector<E820Entry> entries = BuildE820(*plan);
  for (size_t i = 1; i < entries.size(); ++i) {
    EXPECT_LE(entries[i - 1].range.end(), entries[i].range.start);
  }
  EXPECT_THAT(entries, Contains(E820Entry{map::kLegacyHole, E820Entry::kReserved}));
  EXPECT_THAT(entries, Contains(E820Entry{map::kEcam, E820Entry::kReserved}));
  uint64_t usable = 0;
  for (const E820Entry& entry : entries) usable += entry.type == E820Entry::kUsable ? entry.range.size : 0;
  EXPECT_EQ(usable, 8 * kGiB - map::kLegacyHole.size);
}

TEST(E820, WithoutHighMemoryHasNoEntryForIt) {
  EXPECT_EQ(BuildE820(*PlanAddressMap(kGiB, 46, 0, 0)).size(), 4u);
}

}  // namespace
}  // namespace berth::hw
