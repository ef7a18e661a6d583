#include "block/qcow2/bitmap.h"

#include <algorithm>
#include <bit>

#include "block/qcow2/format.h"

namespace berth::block::qcow2 {
namespace {

constexpr uint64_t kEntryBytes = 24;
constexpr uint32_t kInUse = 1, kAuto = 2, kExtraDataCompatible = 4;
constexpr uint8_t kDirtyTracking = 1;
constexpr uint32_t kMinGranularityBits = 9, kMaxGranularityBits = 31;
constexpr uint64_t kMaxNameBytes = 1023;

uint64_t DivideUp(uint64_t value, uint64_t unit) { return value / unit + (value % unit != 0); }

}  // namespace

uint64_t BitmapEntryBytes(size_t name_bytes, size_t extra_bytes) {
  return AlignUp(kEntryBytes + name_bytes + extra_bytes, 8);
}

uint64_t Bitmap::PageCount(uint64_t disk_bytes, uint64_t page_bytes) const {
  return DivideUp(DivideUp(DivideUp(disk_bytes, info.granularity_bytes), 8), page_bytes);
}

void Bitmap::Mark(const Range& range, uint64_t disk_bytes, uint64_t page_bytes) {
  if (range.size == 0 || range.start >= disk_bytes) return;
  changed = true;
  const uint64_t page_bits = page_bytes * 8;
  const uint64_t last = (std::min(range.end(), disk_bytes) - 1) / info.granularity_bytes;
  for (uint64_t bit = range.start / info.granularity_bytes; bit <= last;) {
    std::vector<uint8_t>& page = pages[bit / page_bits];
    page.resize(page_bytes);
    const uint64_t end = std::min(last + 1, (bit / page_bits + 1) * page_bits);
    for (; bit < end; ++bit) page[bit % page_bits / 8] |= static_cast<uint8_t>(1u << bit % 8);
  }
}

std::vector<Range> Bitmap::Dirty(uint64_t disk_bytes, uint64_t page_bytes) const {
  std::vector<Range> all;
  for (const auto& [index, page] : pages) {
    for (uint64_t i = 0; i < page_bytes * 8; ++i) {
      if (i % 8 == 0 && page[i / 8] == 0) i += 7;
      if (!((page[i / 8] >> i % 8) & 1)) continue;
      const uint64_t start = (index * page_bytes * 8 + i) * info.granularity_bytes;
      if (start >= disk_bytes) break;
      const uint64_t size = std::min(info.granularity_bytes, disk_bytes - start);
      if (!all.empty() && all.back().end() == start) {
        all.back().size += size;
      } else {
        all.push_back({start, size});
      }
    }
  }
  return all;
}

void Bitmap::Cut(uint64_t disk_bytes, uint64_t page_bytes) {
  const uint64_t bits = DivideUp(disk_bytes, info.granularity_bytes), page_bits = page_bytes * 8;
  pages.erase(pages.lower_bound(DivideUp(bits, page_bits)), pages.end());
  const auto last = pages.find(bits / page_bits);
  if (last == pages.end()) return;
  for (uint64_t bit = bits % page_bits; bit < page_bits; ++bit) {
    last->second[bit / 8] &= static_cast<uint8_t>(~(1u << bit % 8));
  }
}

Result<std::vector<Bitmap>> DecodeBitmapDirectory(std::span<const uint8_t> bytes, uint32_t count) {
  const auto bad = [] { return Fail(Code::kInvalidArgument, "Broken bitmap directory"); };
  std::vector<Bitmap> bitmaps;
  for (uint32_t i = 0; i < count; ++i) {
    if (bytes.size() < kEntryBytes) return bad();
    const uint64_t name_bytes = LoadBe<uint16_t>(&bytes[18]), extra_bytes = LoadBe<uint32_t>(&bytes[20]);
    const uint64_t size = BitmapEntryBytes(name_bytes, extra_bytes);
    const uint32_t flags = LoadBe<uint32_t>(&bytes[12]);
    const uint8_t type = bytes[16], granularity_bits = bytes[17];
    if (size > bytes.size() || name_bytes == 0 || name_bytes > kMaxNameBytes || type != kDirtyTracking ||
        granularity_bits < kMinGranularityBits || granularity_bits > kMaxGranularityBits ||
        (flags & ~(kInUse | kAuto | kExtraDataCompatible)) != 0 ||
        (extra_bytes != 0 && (flags & kExtraDataCompatible) == 0)) {
      return bad();
    }
    Bitmap& bitmap = bitmaps.emplace_back();
    bitmap.table_offset = LoadBe<uint64_t>(&bytes[0]);
    bitmap.table_entries = LoadBe<uint32_t>(&bytes[8]);
    const auto extra = bytes.subspan(kEntryBytes, extra_bytes);
    bitmap.extra.assign(extra.begin(), extra.end());
    bitmap.info = {
        .name = std::string(reinterpret_cast<const char*>(&bytes[kEntryBytes + extra_bytes]), name_bytes),
        .granularity_bytes = uint64_t{1} << granularity_bits,
        .enabled = (flags & kAuto) != 0,
        .inconsistent = (flags & kInUse) != 0};
    bytes = bytes.subspan(size);
  }
  return bitmaps;
}

std::vector<uint8_t> EncodeBitmapDirectory(const std::vector<Bitmap>& bitmaps, bool in_use) {
  std::vector<uint8_t> bytes;
  for (const Bitmap& bitmap : bitmaps) {
    const std::string& name = bitmap.info.name;
    const size_t at = bytes.size();
    bytes.resize(at + BitmapEntryBytes(name.size(), bitmap.extra.size()));
    uint8_t* entry = &bytes[at];
    StoreBe<uint64_t>(entry, bitmap.table_offset);
    StoreBe<uint32_t>(entry + 8, bitmap.table_entries);
    const bool used = bitmap.info.inconsistent || (in_use && bitmap.info.enabled);
    StoreBe<uint32_t>(entry + 12, (used ? kInUse : 0) | (bitmap.info.enabled ? kAuto : 0) |
                                      (bitmap.extra.empty() ? 0 : kExtraDataCompatible));
    entry[16] = kDirtyTracking;
    entry[17] = static_cast<uint8_t>(std::countr_zero(bitmap.info.granularity_bytes));
    StoreBe<uint16_t>(entry + 18, static_cast<uint16_t>(name.size()));
    StoreBe<uint32_t>(entry + 20, static_cast<uint32_t>(bitmap.extra.size()));
    std::copy(bitmap.extra.begin(), bitmap.extra.end(), entry + kEntryBytes);
    std::copy(name.begin(), name.end(), entry + kEntryBytes + bitmap.extra.size());
  }
  return bytes;
}

}  // namespace berth::block::qcow2
