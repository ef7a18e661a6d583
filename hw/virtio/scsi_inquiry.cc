#include "hw/virtio/scsi_inquiry.h"

#include <algorithm>
#include <string_view>

#include "base/bytes.h"

namespace berth::hw {
namespace {

using Data = std::vector<uint8_t>;

constexpr std::string_view kVendor = "BERTH";
constexpr size_t kVendorBytes = 8;

// ASCII fields are filled up with spaces, and have nothing else.
void PutText(std::string_view text, size_t bytes, uint8_t* to) {
  for (size_t i = 0; i < bytes; ++i) {
    const char c = i < text.size() ? text[i] : ' ';
    to[i] = static_cast<uint8_t>(c >= 0x20 && c <= 0x7e ? c : '_');
  }
}

Data Standard(const ScsiFacts& facts) {
  constexpr uint8_t kSpc4 = 6, kResponseFormat = 2, kHierarchical = 0x10, kQueueing = 0x02, kRemovable = 0x80;
  const bool cd_rom = facts.kind == ScsiUnitKind::kCdRom;
  Data data(36);
  data[0] = static_cast<uint8_t>(facts.kind);
  data[1] = cd_rom ? kRemovable : 0;
  data[2] = kSpc4;
  data[3] = kHierarchical | kResponseFormat;
  data[4] = static_cast<uint8_t>(data.size() - 5);
  data[7] = kQueueing;
  PutText(kVendor, kVendorBytes, &data[8]);
  PutText(cd_rom ? "Virtual CD-ROM" : "Virtual disk", 16, &data[16]);
  PutText("1", 4, &data[32]);
  return data;
}

// 7.8.5: one designator of the unit, "T10 vendor ID based".
Data Identification(const ScsiFacts& facts) {
  constexpr uint8_t kAscii = 2, kT10VendorId = 1;
  const size_t bytes = kVendorBytes + facts.identification.size();
  Data data(8 + bytes);
  data[4] = kAscii;
  data[5] = kT10VendorId;
  data[7] = static_cast<uint8_t>(bytes);
  PutText(kVendor, kVendorBytes, &data[8]);
  PutText(facts.identification, facts.identification.size(), &data[8 + kVendorBytes]);
  return data;
}

// SBC-3, 6.5.3. No limit to a transfer but what the controller says.
Data BlockLimits(const ScsiFacts& facts) {
  constexpr uint8_t kNoZeroLengthWriteSame = 1;
  Data data(64);
  data[4] = kNoZeroLengthWriteSame;
  StoreBe(&data[6], static_cast<uint16_t>(1u << facts.physical_block_exponent));
  StoreBe(&data[12], facts.optimal_io_blocks);
  if (facts.thin) {
    StoreBe(&data[20], static_cast<uint32_t>(MaxRangeBlocks(facts)));
    StoreBe(&data[24], kMaxUnmapDescriptors);
    StoreBe(&data[28], facts.discard_granularity_blocks);
    data[32] = 0x80;  // UGAVALID: the first such unit begins at block 0.
  }
  if (!facts.read_only) StoreBe(&data[36], MaxRangeBlocks(facts));
  return data;
}

// SBC-3, 6.5.2.
Data Characteristics() {
  constexpr uint16_t kNonRotating = 1;
  Data data(64);
  StoreBe(&data[4], kNonRotating);
  return data;
}

// SBC-3, 6.5.4. What is unmapped need not read as zeroes: a block device that discards promises nothing.
Data Provisioning(const ScsiFacts& facts) {
  constexpr uint8_t kUnmap = 0x80, kWriteSame16 = 0x40, kWriteSame10 = 0x20, kThin = 2;
  Data data(8);
  if (!facts.thin) return data;
  data[5] = kUnmap | kWriteSame16 | kWriteSame10;
  data[6] = kThin;
  return data;
}

std::vector<uint8_t> PagesOf(const ScsiFacts& facts) {
  std::vector<uint8_t> pages = {0x00, 0x80, 0x83};
  if (facts.serial.empty()) pages = {0x00, 0x83};
  if (facts.kind == ScsiUnitKind::kDisk) pages.insert(pages.end(), {0xb0, 0xb1, 0xb2});
  return pages;
}

Data Page(const ScsiFacts& facts, uint8_t page) {
  Data data(4);
  switch (page) {
    case 0x00: {
      const std::vector<uint8_t> pages = PagesOf(facts);
      data.insert(data.end(), pages.begin(), pages.end());
      break;
    }
    case 0x80:
      data.resize(4 + facts.serial.size());
      PutText(facts.serial, facts.serial.size(), data.data() + 4);
      break;
    case 0x83:
      data = Identification(facts);
      break;
    case 0xb0:
      data = BlockLimits(facts);
      break;
    case 0xb1:
      data = Characteristics();
      break;
    case 0xb2:
      data = Provisioning(facts);
      break;
    default:
      break;
  }
  data[0] = static_cast<uint8_t>(facts.kind);
  data[1] = page;
  StoreBe(&data[2], static_cast<uint16_t>(data.size() - 4));
  return data;
}

}  // namespace

ScsiResult<Data> Inquiry(const ScsiFacts& facts, const ScsiCommand& command) {
  constexpr uint8_t kVitalProductData = 1;
  const uint8_t page = command.cdb[2];
  if (!(command.cdb[1] & kVitalProductData)) {
    if (page != 0) return tl::make_unexpected(sense::kInvalidFieldInCdb);
    return Standard(facts);
  }
  const std::vector<uint8_t> pages = PagesOf(facts);
  if (std::find(pages.begin(), pages.end(), page) == pages.end())
    return tl::make_unexpected(sense::kInvalidFieldInCdb);
  return Page(facts, page);
}

Data ReadCapacity10(const ScsiFacts& facts) {
  Data data(8);
  StoreBe(data.data(), static_cast<uint32_t>(std::min<uint64_t>(facts.blocks - 1, UINT32_MAX)));
  StoreBe(&data[4], facts.block_size_bytes);
  return data;
}

Data ReadCapacity16(const ScsiFacts& facts) {
  constexpr uint8_t kProvisioningManagement = 0x80;  // LBPME
  Data data(32);
  StoreBe(data.data(), facts.blocks - 1);
  StoreBe(&data[8], facts.block_size_bytes);
  data[13] = facts.physical_block_exponent;
  data[14] = facts.thin ? kProvisioningManagement : 0;
  return data;
}

}  // namespace berth::hw
