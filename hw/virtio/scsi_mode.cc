#include <algorithm>

#include "base/bytes.h"
#include "hw/virtio/scsi_inquiry.h"

namespace berth::hw {
namespace {

using Data = std::vector<uint8_t>;

constexpr uint8_t kErrorRecovery = 0x01, kCaching = 0x08, kControl = 0x0a, kCdCapabilities = 0x2a,
                  kAllPages = 0x3f;
// Values of PAGE CONTROL.
enum class Values : uint8_t { kCurrent, kChangeable, kDefault, kSaved };

// A mode page; the parameters of `changeable` ones are masks, and nothing can be changed.
Data Page(const ScsiFacts& facts, uint8_t code, bool changeable) {
  Data page;
  switch (code) {
    case kErrorRecovery:  // MMC-6, 7.3.
      page.resize(12);
      break;
    case kCaching: {  // SBC-3, 6.4.5.
      constexpr uint8_t kWriteCacheEnabled = 0x04;
      page.resize(20);
      if (facts.write_cache) page[2] = kWriteCacheEnabled;
      break;
    }
    case kControl: {  // SPC-4, 7.5.8: in what order commands are done is nobody's promise.
      constexpr uint8_t kUnrestrictedReordering = 0x10;
      page.resize(12);
      page[3] = kUnrestrictedReordering;
      break;
    }
    case kCdCapabilities: {  // MMC-3, 6.3.11, as hosts still ask for it.
      constexpr uint8_t kReadsDvdRom = 0x08, kReadsCdR = 0x03, kTray = 0x20, kEjects = 0x08, kLocks = 0x01;
      page.resize(22);
      page[2] = kReadsDvdRom | kReadsCdR;
      page[6] = kTray | kEjects | kLocks;
      break;
    }
    default:
      return page;
  }
  page[0] = code;
  page[1] = static_cast<uint8_t>(page.size() - 2);
  if (changeable) std::fill(page.begin() + 2, page.end(), 0);
  return page;
}

std::vector<uint8_t> PagesOf(ScsiUnitKind kind) {
  if (kind == ScsiUnitKind::kCdRom) return {kErrorRecovery, kCdCapabilities};
  return {kCaching, kControl};
}

// 7.5.7.1, the short one: how many blocks, and of how many bytes.
Data BlockDescriptor(const ScsiFacts& facts) {
  Data descriptor(8);
  StoreBe(descriptor.data(), static_cast<uint32_t>(std::min<uint64_t>(facts.blocks, UINT32_MAX)));
  StoreBe(&descriptor[4], facts.block_size_bytes);  // Below 2^24: the first byte is reserved.
  return descriptor;
}

}  // namespace

ScsiResult<Data> ModeSense(const ScsiFacts& facts, const ScsiCommand& command) {
  constexpr uint8_t kNoBlockDescriptors = 0x08, kAllSubpages = 0xff;
  constexpr uint8_t kWriteProtected = 0x80, kKnowsDpoAndFua = 0x10;
  const uint8_t code = command.cdb[2] & 0x3f, subpage = command.cdb[3];
  const auto values = static_cast<Values>(command.cdb[2] >> 6);
  if (values == Values::kSaved) return tl::make_unexpected(sense::kNoSavedPages);
  if (subpage != 0 && subpage != kAllSubpages) return tl::make_unexpected(sense::kInvalidFieldInCdb);
  Data pages;
  for (const uint8_t page : PagesOf(facts.kind)) {
    if (code != page && code != kAllPages) continue;
    const Data more = Page(facts, page, values == Values::kChangeable);
    pages.insert(pages.end(), more.begin(), more.end());
  }
  if (pages.empty()) return tl::make_unexpected(sense::kInvalidFieldInCdb);

  const bool is_disk = facts.kind == ScsiUnitKind::kDisk;
  const bool described = is_disk && !(command.cdb[1] & kNoBlockDescriptors);
  const Data descriptor = described ? BlockDescriptor(facts) : Data();
  uint8_t medium = 0;  // DEVICE-SPECIFIC PARAMETER, SBC-3 6.4.1.
  if (is_disk) medium = kKnowsDpoAndFua | (facts.read_only ? kWriteProtected : 0);
  const bool is_6 = command.operation == ScsiOperation::kModeSense6;
  Data data(is_6 ? 4 : 8);
  if (is_6) {
    data[0] = static_cast<uint8_t>(data.size() - 1 + descriptor.size() + pages.size());
    data[2] = medium;
    data[3] = static_cast<uint8_t>(descriptor.size());
  } else {
    StoreBe(data.data(), static_cast<uint16_t>(data.size() - 2 + descriptor.size() + pages.size()));
    data[3] = medium;
    data[7] = static_cast<uint8_t>(descriptor.size());
  }
  data.insert(data.end(), descriptor.begin(), descriptor.end());
  data.insert(data.end(), pages.begin(), pages.end());
  return data;
}

}  // namespace berth::hw
