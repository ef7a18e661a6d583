#include "hw/boot/elf.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/bytes.h"
#include "hw/memory/address_map.h"

namespace berth::hw {
namespace {

constexpr size_t kMaxSegments = 64;
constexpr uint64_t kMaxNoteBytes = 64 * kKiB;
constexpr uint32_t kXenElfNotePhys32Entry = 18;

// A part of the file that it says is there.
Status ReadPart(ByteSource& file, uint64_t offset, std::span<uint8_t> out, const char* what) {
  if (!Range{0, file.size_bytes()}.Contains(offset, out.size())) {
    return Fail(Code::kInvalidArgument, "the kernel file ends before its {} at {:#x}", what, offset);
  }
  return file.Read(offset, out);
}

template <typename T>
Result<T> Load(ByteSource& file, uint64_t offset, const char* what) {
  T value;
  TRY(ReadPart(file, offset, std::span(reinterpret_cast<uint8_t*>(&value), sizeof(T)), what));
  return value;
}

// Sorts by address and looks for two in one place. What overlaps would be loaded and cleared over and over.
bool AnyOverlap(std::vector<ElfImage::Segment> segments) {
  std::sort(segments.begin(), segments.end(),
            [](const auto& a, const auto& b) { return a.address < b.address; });
  for (size_t i = 1; i < segments.size(); ++i) {
    if (segments[i - 1].address + segments[i - 1].memory_size > segments[i].address) return true;
  }
  return false;
}

// The PVH entry point, if these notes name it. Each note is three words, then its name and its content, both
// padded to 4.
std::optional<uint32_t> FindEntry(std::span<const uint8_t> notes) {
  uint64_t at = 0;
  while (Range{0, notes.size()}.Contains(at, sizeof(Elf64_Nhdr))) {
    const uint32_t name_size = LoadLe<uint32_t>(&notes[at]), content_size = LoadLe<uint32_t>(&notes[at + 4]),
                   type = LoadLe<uint32_t>(&notes[at + 8]);
    const uint64_t name = at + sizeof(Elf64_Nhdr), content = name + AlignUp(name_size, 4);
    if (!Range{0, notes.size()}.Contains(content, content_size)) return std::nullopt;
    if (type == kXenElfNotePhys32Entry && name_size == 4 && std::memcmp(&notes[name], "Xen", 4) == 0 &&
        content_size >= 4) {
      return LoadLe<uint32_t>(&notes[content]);
    }
    at = content + AlignUp(content_size, 4);
  }
  return std::nullopt;
}

}  // namespace

bool LooksLikeElf(ByteSource& file) {
  uint8_t magic[SELFMAG];
  return file.Read(0, magic) && std::memcmp(magic, ELFMAG, SELFMAG) == 0;
}

Result<ElfImage> ParseElf(ByteSource& file) {
  if (!LooksLikeElf(file)) return Fail(Code::kInvalidArgument, "the kernel is no ELF file");
  const auto header = TRY(Load<Elf64_Ehdr>(file, 0, "ELF header"));
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64) {
    return Fail(Code::kInvalidArgument, "the kernel is an ELF file, but not for x86-64");
  }
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 || header.e_phnum > kMaxSegments) {
    return Fail(Code::kInvalidArgument, "the kernel has {} program headers of {} bytes", header.e_phnum,
                header.e_phentsize);
  }
  ElfImage image;
  std::optional<uint32_t> entry;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    const auto segment =
        TRY(Load<Elf64_Phdr>(file, header.e_phoff + uint64_t{i} * sizeof(Elf64_Phdr), "program headers"));
    if (segment.p_type == PT_LOAD && segment.p_memsz != 0) {
      if (segment.p_filesz > segment.p_memsz ||
          !Range{map::kHighMemoryStart, map::k4GiB - map::kHighMemoryStart}.Contains(segment.p_paddr,
                                                                                     segment.p_memsz)) {
        return Fail(Code::kInvalidArgument, "the kernel's segment {} does not fit between 1 MiB and 4 GiB",
                    i);
      }
      if (!Range{0, file.size_bytes()}.Contains(segment.p_offset, segment.p_filesz)) {
        return Fail(Code::kInvalidArgument, "the kernel file ends before its segment {} does", i);
      }
      image.segments.push_back({segment.p_offset, segment.p_filesz, segment.p_paddr, segment.p_memsz});
    } else if (segment.p_type == PT_NOTE && !entry && segment.p_filesz <= kMaxNoteBytes) {
      std::vector<uint8_t> notes(segment.p_filesz);
      TRY(ReadPart(file, segment.p_offset, notes, "notes"));
      entry = FindEntry(notes);
    }
  }
  if (image.segments.empty()) return Fail(Code::kInvalidArgument, "the kernel has nothing to load");
  if (AnyOverlap(image.segments)) return Fail(Code::kInvalidArgument, "the kernel's segments overlap");
  if (!entry) return Fail(Code::kInvalidArgument, "the kernel has no PVH entry point (CONFIG_PVH)");
  image.pvh_entry = *entry;
  return image;
}

}  // namespace berth::hw
