// Smallest kernel images that the loaders take, to be spoilt by tests.
#pragma once

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "base/bytes.h"

namespace berth::hw {

using KernelFile = std::vector<uint8_t>;

// A relocatable 64-bit bzImage of protocol 2.15: one sector of setup, then `payload` bytes of 0x90. Offsets
// are those of Documentation/arch/x86/boot.rst.
inline KernelFile MakeBzImage(size_t payload = 4096) {
  KernelFile file(1024 + payload, 0x90);
  std::memset(file.data(), 0, 1024);
  file[0x1f1] = 1;                                                              // setup_sects
  StoreLe<uint32_t>(&file[0x1f4], static_cast<uint32_t>((payload + 15) / 16));  // syssize
  StoreLe<uint16_t>(&file[0x1fe], 0xaa55);                                      // boot_flag
  StoreLe<uint16_t>(&file[0x200], 0x6aeb);  // jump: the header ends at 0x26c
  std::memcpy(&file[0x202], "HdrS", 4);
  StoreLe<uint16_t>(&file[0x206], 0x020f);      // version
  file[0x211] = 1;                              // loadflags: LOADED_HIGH
  StoreLe<uint32_t>(&file[0x22c], 0x7fffffff);  // initrd_addr_max
  StoreLe<uint32_t>(&file[0x230], 0x200000);    // kernel_alignment
  file[0x234] = 1;                              // relocatable_kernel
  StoreLe<uint16_t>(&file[0x236], 0x3f);        // xloadflags: XLF_KERNEL_64 and others
  StoreLe<uint32_t>(&file[0x238], 2047);        // cmdline_size
  StoreLe<uint64_t>(&file[0x258], 0x1000000);   // pref_address
  StoreLe<uint32_t>(&file[0x260], 2 * kMiB);    // init_size
  return file;
}

// An ELF kernel of one segment (4 KiB of 0x90 in the file, 8 KiB in memory at 1 MiB) and a note of Xen's PVH
// entry.
struct ElfKernel {
  Elf64_Ehdr header{};
  Elf64_Phdr segments[2]{};  // PT_LOAD, PT_NOTE.
  struct Note {
    Elf64_Nhdr header{.n_namesz = 4, .n_descsz = 8, .n_type = 18};  // XEN_ELFNOTE_PHYS32_ENTRY
    char name[4] = "Xen";
    uint64_t entry = 0x100000;
  } note;
  uint8_t code[4096];

  ElfKernel() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_phoff = offsetof(ElfKernel, segments);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    segments[0] = {.p_type = PT_LOAD,
                   .p_flags = PF_R | PF_X,
                   .p_offset = offsetof(ElfKernel, code),
                   .p_vaddr = 0xffffffff80100000,
                   .p_paddr = 0x100000,
                   .p_filesz = sizeof(code),
                   .p_memsz = 2 * sizeof(code),
                   .p_align = 0x1000};
    segments[1] = {.p_type = PT_NOTE,
                   .p_flags = PF_R,
                   .p_offset = offsetof(ElfKernel, note),
                   .p_vaddr = 0,
                   .p_paddr = 0,
                   .p_filesz = sizeof(note),
                   .p_memsz = sizeof(note),
                   .p_align = 4};
    std::memset(code, 0x90, sizeof(code));
  }
  KernelFile File() const {
    const auto* bytes = reinterpret_cast<const uint8_t*>(this);
    return {bytes, bytes + sizeof(*this)};
  }
};

}  // namespace berth::hw
