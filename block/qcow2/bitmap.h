// One persistent bitmap in memory, and the directory of all.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "block/bitmap.h"

namespace berth::block::qcow2 {

struct Bitmap {
  BitmapInfo info;
  uint64_t table_offset = 0;
  uint32_t table_entries = 0;
  std::vector<uint8_t> extra;  // Data of others' with which the bitmap may still be used.
  bool loaded = false;         // The pages are what the disk has, with what was marked since.
  bool changed = false;
  uint64_t counted_bytes = 0;  // Of the memory that all may take.
  // Of a cluster's size, by index; what is not here is zero.
  std::map<uint64_t, std::vector<uint8_t>> pages;

  // Pages of a disk of `disk_bytes`.
  uint64_t PageCount(uint64_t disk_bytes, uint64_t page_bytes) const;
  void Mark(const Range& range, uint64_t disk_bytes, uint64_t page_bytes);
  std::vector<Range> Dirty(uint64_t disk_bytes, uint64_t page_bytes) const;
  // What is behind the end of a disk that became shorter.
  void Cut(uint64_t disk_bytes, uint64_t page_bytes);
};

// The directory's entries. INVALID_ARGUMENT if it is not as the specification says.
Result<std::vector<Bitmap>> DecodeBitmapDirectory(std::span<const uint8_t> bytes, uint32_t count);
// `in_use`: those that record are being changed.
std::vector<uint8_t> EncodeBitmapDirectory(const std::vector<Bitmap>& bitmaps, bool in_use);
// Of one entry.
uint64_t BitmapEntryBytes(size_t name_bytes, size_t extra_bytes);

}  // namespace berth::block::qcow2
