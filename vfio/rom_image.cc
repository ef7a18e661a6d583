#include "vfio/rom_image.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace berth::vfio {
namespace {

// Of an image: its signature, the place of the PCI data structure, and in that one what it is for.
constexpr uint16_t kSignature = 0xaa55;
constexpr size_t kBlocks = 0x02, kChecksum = 0x06, kDataPointer = 0x18, kHeaderSize = 0x1a;
constexpr size_t kDataVendor = 0x04, kDataDevice = 0x06, kDataLength = 0x10, kDataCodeType = 0x14,
                 kDataIndicator = 0x15, kDataSize = 0x18;
constexpr uint8_t kCodeTypePc = 0, kLastImage = 0x80;
constexpr size_t kBlock = 512;
constexpr int kMaxImages = 16;

}  // namespace

void FixRom(std::span<uint8_t> rom, uint16_t vendor_id, uint16_t device_id) {
  size_t start = 0;
  for (int image = 0; image < kMaxImages; ++image) {
    if (start + kHeaderSize > rom.size() || LoadLe<uint16_t>(&rom[start]) != kSignature) return;
    const size_t data = start + LoadLe<uint16_t>(&rom[start + kDataPointer]);
    if (data + kDataSize > rom.size() || std::memcmp(&rom[data], "PCIR", 4) != 0) return;
    const size_t length = LoadLe<uint16_t>(&rom[data + kDataLength]) * kBlock;
    if (length == 0 || length > rom.size() - start) return;
    if (LoadLe<uint16_t>(&rom[data + kDataVendor]) == vendor_id) {
      StoreLe<uint16_t>(&rom[data + kDataDevice], device_id);
    }
    // Only images for the PC's firmware have a checksum: over their initial size, at a byte kept free for it.
    if (rom[data + kDataCodeType] == kCodeTypePc) {
      const size_t summed = std::min(rom[start + kBlocks] * kBlock, rom.size() - start);
      rom[start + kChecksum] = 0;
      const auto bytes = rom.subspan(start, summed);
      const unsigned sum = std::accumulate(bytes.begin(), bytes.end(), 0u);
      rom[start + kChecksum] = static_cast<uint8_t>(-sum);
    }
    if (rom[data + kDataIndicator] & kLastImage) return;
    start += length;
  }
}

uint64_t RomImage::Read(uint64_t offset, unsigned size) {
  MutexLock lock(mutex_);
  if (!loaded_) {
    bytes_.resize(region_->info().size);
    bytes_.resize(region_->ReadBytes(0, bytes_));
    FixRom(bytes_, vendor_id_, device_id_);
    loaded_ = true;
  }
  uint64_t value = AllOnes(size);
  for (unsigned i = 0; i < size && offset + i < bytes_.size(); ++i) {
    value &= ~(uint64_t{0xff} << (8 * i));
    value |= uint64_t{bytes_[offset + i]} << (8 * i);
  }
  return value;
}

}  // namespace berth::vfio
