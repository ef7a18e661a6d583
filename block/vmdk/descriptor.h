// The text that says what a virtual disk consists of (Virtual Disk Format 5.0, "Basic Disk Descriptor").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::block::vmdk {

inline constexpr uint32_t kNoParent = 0xffffffff;
inline constexpr uint64_t kMaxDescriptorBytes = 1 << 20;
inline constexpr size_t kMaxExtents = 4096;  // 8 TiB in extents of 2 GiB.

struct ExtentLine {
  uint64_t sectors = 0;
  std::string type;  // FLAT, SPARSE, …
  std::string filename;
  uint64_t offset_sectors = 0;  // In the file; FLAT alone.
};

struct Descriptor {
  uint32_t cid = 0;  // Changes with the content.
  uint32_t parent_cid = kNoParent;
  std::string create_type;
  std::string parent_name;  // Empty: none.
  std::vector<ExtentLine> extents;
  std::optional<uint64_t> cid_at;  // Where the eight digits of the CID are in the text.
};

struct DiskDatabase {
  std::string hardware_version, adapter_type, tools_version;
  uint64_t heads = 16;
};

// `text` ends at its first NUL. Lines that are not known are passed over; extents only if `with_extents`.
Result<Descriptor> ParseDescriptor(std::string_view text, bool with_extents);
std::string WriteDescriptor(const Descriptor& descriptor, const DiskDatabase& database, uint64_t sectors);
std::string CidText(uint32_t cid);  // Eight digits.

// Whether a file that begins so is a descriptor.
bool LooksLikeDescriptor(std::string_view head);

}  // namespace berth::block::vmdk
