#include "hw/boot/bzimage.h"

#include <algorithm>

#include "base/bytes.h"
#include "hw/memory/address_map.h"

namespace berth::hw {
namespace {

// Offsets in the file and in boot_params alike.
constexpr uint16_t kSetupSectors = 0x1f1, kSystemSize = 0x1f4, kBootFlag = 0x1fe, kJump = 0x200,
                   kMagic = 0x202, kVersion = 0x206, kInitrdAddressMax = 0x22c, kKernelAlignment = 0x230,
                   kRelocatable = 0x234, kXloadFlags = 0x236, kCommandLineSize = 0x238,
                   kPreferredAddress = 0x258, kInitSize = 0x260;
constexpr uint16_t kBootFlagValue = 0xaa55;
constexpr uint32_t kMagicValue = 0x53726448;  // "HdrS"
constexpr uint16_t kVersion212 = 0x020c;
constexpr uint16_t kXloadKernel64 = 1;
constexpr uint64_t kSector = 512;
constexpr uint64_t kMaxInitSize = 1 * kGiB;

template <typename T>
T Field(const std::array<uint8_t, BzImage::kHeaderMax>& header, uint16_t offset) {
  return LoadLe<T>(header.data() + (offset - BzImage::kHeaderStart));
}

}  // namespace

bool LooksLikeBzImage(ByteSource& file) {
  uint8_t bytes[kVersion - kBootFlag];
  return file.Read(kBootFlag, bytes) && LoadLe<uint16_t>(bytes) == kBootFlagValue &&
         LoadLe<uint32_t>(bytes + (kMagic - kBootFlag)) == kMagicValue;
}

Result<BzImage> ParseBzImage(ByteSource& file) {
  if (!LooksLikeBzImage(file)) return Fail(Code::kInvalidArgument, "the kernel has no Linux setup header");
  if (file.size_bytes() < BzImage::kHeaderStart + BzImage::kHeaderMax) {
    return Fail(Code::kInvalidArgument, "the kernel file ends within its setup header");
  }
  BzImage image;
  TRY(file.Read(BzImage::kHeaderStart, std::span(image.header)));
  const auto& header = image.header;
  if (const uint16_t version = Field<uint16_t>(header, kVersion); version < kVersion212) {
    return Fail(Code::kInvalidArgument,
                "the kernel speaks boot protocol {}.{}; 2.12 (Linux 3.8) or later is needed", version >> 8,
                version & 0xff);
  }
  if (!(Field<uint16_t>(header, kXloadFlags) & kXloadKernel64)) {
    return Fail(Code::kInvalidArgument, "the kernel is not a 64-bit one (no 64-bit entry point)");
  }
  // The header ends where the jump at its start leads to.
  const size_t header_size = std::min<size_t>(kJump + 2u + header[kJump + 1 - BzImage::kHeaderStart], 0x290);
  std::fill(image.header.begin() + static_cast<ptrdiff_t>(header_size - BzImage::kHeaderStart),
            image.header.end(), 0);

  const uint8_t sectors = Field<uint8_t>(header, kSetupSectors);
  image.payload_offset = kSector * ((sectors == 0 ? 4 : sectors) + 1u);
  if (file.size_bytes() <= image.payload_offset) {
    return Fail(Code::kInvalidArgument, "the kernel file ends within its setup code");
  }
  image.payload_size = file.size_bytes() - image.payload_offset;
  // In units of 16 bytes, the last of which may be short. What follows is a signature.
  const uint64_t system_size = uint64_t{Field<uint32_t>(header, kSystemSize)} * 16;
  if (image.payload_size + 16 <= system_size) {
    return Fail(Code::kInvalidArgument,
                "the kernel file is cut short: it has {} of {} bytes after its setup code",
                image.payload_size, system_size);
  }

  image.load_address = Field<uint64_t>(header, kPreferredAddress);
  const uint32_t alignment = Field<uint32_t>(header, kKernelAlignment);
  if (Field<uint8_t>(header, kRelocatable) == 0 && image.load_address < map::kHighMemoryStart) {
    return Fail(Code::kInvalidArgument, "the kernel wants to be loaded at {:#x}", image.load_address);
  }
  if (image.load_address < map::kHighMemoryStart || image.load_address >= map::kLowRamEnd ||
      !IsPowerOfTwo(alignment) || !IsAligned(image.load_address, alignment)) {
    return Fail(Code::kInvalidArgument,
                "the kernel's preferred address {:#x} and alignment {:#x} are no good", image.load_address,
                alignment);
  }
  image.init_size = std::max<uint64_t>(Field<uint32_t>(header, kInitSize), image.payload_size);
  if (image.init_size > kMaxInitSize) {
    return Fail(Code::kInvalidArgument, "the kernel claims to need {} to start", HumanSize(image.init_size));
  }
  image.initrd_last_address = Field<uint32_t>(header, kInitrdAddressMax);
  image.command_line_max = Field<uint32_t>(header, kCommandLineSize);
  return image;
}

}  // namespace berth::hw
