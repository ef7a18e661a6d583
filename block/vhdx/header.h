// What a vhdx file says of itself outside its blocks: headers, regions, metadata.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "block/image.h"
#include "block/vhdx/format.h"

namespace berth::block::vhdx {

// One of two copies, of which the one with the higher sequence number counts.
struct Header {
  int copy = 0;
  uint64_t sequence = 0;
  Guid file_write{}, data_write{};
  Guid log{};  // All zeroes: the log has nothing.
  uint64_t log_bytes = 0, log_offset = 0;

  bool has_log() const { return log != Guid{}; }
};
Result<Header> ReadHeader(Image* file);
// Writes `header` in place of the older copy, with the next sequence number, and flushes.
Status WriteHeader(Image* file, Header* header);

struct Layout {
  uint64_t table_offset = 0, table_bytes = 0;
  uint64_t block_bytes = 0;
  uint64_t disk_bytes = 0;
  uint32_t sector_bytes = 512;

  // Payload entries between two of sector bitmaps, which dynamic images have room for and do not use.
  uint64_t chunk_ratio() const { return (uint64_t{1} << 23) * sector_bytes / block_bytes; }
  uint64_t blocks() const { return (disk_bytes + block_bytes - 1) / block_bytes; }
  uint64_t EntryOf(uint64_t block) const { return table_offset + (block + block / chunk_ratio()) * 8; }
  uint64_t entries() const { return blocks() == 0 ? 0 : blocks() + (blocks() - 1) / chunk_ratio(); }
};
Result<Layout> ReadLayout(Image* file);

}  // namespace berth::block::vhdx
