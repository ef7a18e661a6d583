#include "hw/boot/elf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/kernel_images.h"

namespace berth::hw {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

Result<ElfImage> Parse(const KernelFile& file) {
  SpanSource source(file);
  return ParseElf(source);
}

TEST(ElfImage, ReadsSegmentsAndEntry) {
  const auto image = Parse(ElfKernel().File());
  ASSERT_TRUE(image) << image.error().message();
  ASSERT_THAT(image->segments, SizeIs(1));
  EXPECT_EQ(image->segments[0].address, 0x100000u);
  EXPECT_EQ(image->segments[0].file_size, 4096u);
  EXPECT_EQ(image->segments[0].memory_size, 8192u);
  EXPECT_EQ(image->pvh_entry, 0x100000u);
}

TEST(ElfImage, AnEntryOf32BitsWillDo) {
  ElfKernel kernel;
  kernel.note.header.n_descsz = 4;
  kernel.segments[1].p_filesz -= 4;
  EXPECT_EQ(Parse(kernel.File())->pvh_entry, 0x100000u);
}

TEST(ElfImage, SegmentsWithoutMemoryDoNotCount) {
  ElfKernel kernel;
  kernel.segments[0].p_memsz = kernel.segments[0].p_filesz = 0;
  const auto image = Parse(kernel.File());
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().message(), HasSubstr("nothing to load"));
}

struct Corruption {
  const char* name;
  void (*spoil)(ElfKernel&);
  const char* says;
};

class CorruptElf : public testing::TestWithParam<Corruption> {};

TEST_P(CorruptElf, IsRefusedByName) {
  ElfKernel kernel;
  GetParam().spoil(kernel);
  const auto image = Parse(kernel.File());
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code(), Code::kInvalidArgument) << image.error().message();
  EXPECT_THAT(image.error().message(), HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, CorruptElf,
    testing::Values(
        Corruption{"NoMagic", [](ElfKernel& k) { k.header.e_ident[0] = 0; }, "no ELF file"},
        Corruption{"ThirtyTwoBits", [](ElfKernel& k) { k.header.e_ident[EI_CLASS] = ELFCLASS32; }, "x86-64"},
        Corruption{"BigEndian", [](ElfKernel& k) { k.header.e_ident[EI_DATA] = ELFDATA2MSB; }, "x86-64"},
        Corruption{"OtherMachine", [](ElfKernel& k) { k.header.e_machine = EM_AARCH64; }, "x86-64"},
        Corruption{"NoProgramHeaders", [](ElfKernel& k) { k.header.e_phnum = 0; }, "0 program headers"},
        Corruption{"TooManyHeaders", [](ElfKernel& k) { k.header.e_phnum = 65535; }, "65535 program headers"},
        Corruption{"HeadersOfAnotherSize", [](ElfKernel& k) { k.header.e_phentsize = 32; }, "of 32 bytes"},
        Corruption{"HeadersBehindTheEnd", [](ElfKernel& k) { k.header.e_phoff = 1 << 20; }, "ends"},
        Corruption{"HeadersThatWrap", [](ElfKernel& k) { k.header.e_phoff = ~uint64_t{0} - 8; }, "ends"},
        Corruption{"MoreInTheFileThanInMemory", [](ElfKernel& k) { k.segments[0].p_memsz = 1; }, "segment 0"},
        Corruption{"InLowMemory", [](ElfKernel& k) { k.segments[0].p_paddr = 0x1000; }, "segment 0"},
        Corruption{"Above4GiB", [](ElfKernel& k) { k.segments[0].p_paddr = uint64_t{1} << 32; }, "segment 0"},
        Corruption{"AcrossTheEnd", [](ElfKernel& k) { k.segments[0].p_memsz = ~uint64_t{0}; }, "segment 0"},
        Corruption{"SegmentBehindTheEnd", [](ElfKernel& k) { k.segments[0].p_offset += 1; }, "segment 0"},
        Corruption{"OverEachOther",
                   [](ElfKernel& k) {
                     k.segments[1] = k.segments[0];
                     k.segments[1].p_paddr += 0x1000;
                   },
                   "overlap"},
        Corruption{"NoNote", [](ElfKernel& k) { k.segments[1].p_type = PT_NULL; }, "no PVH entry"},
        Corruption{"OtherNote", [](ElfKernel& k) { k.note.header.n_type = 1; }, "no PVH entry"},
        Corruption{"OtherOwner", [](ElfKernel& k) { k.note.name[0] = 'G'; }, "no PVH entry"},
        Corruption{"NoteNameTooLong", [](ElfKernel& k) { k.note.header.n_namesz = 0xffffffff; },
                   "no PVH entry"},
        Corruption{"NoteContentTooLong", [](ElfKernel& k) { k.note.header.n_descsz = 0xffffffff; },
                   "no PVH entry"},
        Corruption{"NotesTooLarge", [](ElfKernel& k) { k.segments[1].p_filesz = kMiB; }, "no PVH entry"},
        Corruption{"NotesBehindTheEnd", [](ElfKernel& k) { k.segments[1].p_offset = 1 << 20; }, "ends"}),
    [](const auto& corruption) { return corruption.param.name; });

TEST(ElfImage, AFileThatEndsInItsHeaderIsRefused) {
  KernelFile file = ElfKernel().File();
  file.resize(32);
  const auto image = Parse(file);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(image.error().message(), HasSubstr("ends"));
}

}  // namespace
}  // namespace berth::hw
