#include "block/vmdk/sparse.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/pieces.h"
#include "block/inflater.h"

namespace berth::block::vmdk {
namespace {

using Kind = BlockPlace::Kind;

constexpr uint32_t kZeroGrain = 1;

class Deflater {
 public:
  Deflater() { CHECK(::deflateInit(&stream_, Z_DEFAULT_COMPRESSION) == Z_OK); }
  ~Deflater() { ::deflateEnd(&stream_); }
  void Run(std::span<const uint8_t> in, std::vector<uint8_t>* out) {
    ::deflateReset(&stream_);
    out->resize(::deflateBound(&stream_, in.size()));
    stream_.next_in = const_cast<Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = out->data();
    stream_.avail_out = static_cast<uInt>(out->size());
    CHECK(::deflate(&stream_, Z_FINISH) == Z_STREAM_END);
    out->resize(out->size() - stream_.avail_out);
  }

 private:
  z_stream stream_{};
};

MappedStore::Shape ShapeOf(const SparseHeader& header, uint64_t size_bytes, bool writable) {
  return {.size_bytes = size_bytes,
          .block_bytes = header.grain_sectors * kSectorBytes,
          .data_from = header.overhead_sectors * kSectorBytes,
          .writable = writable,
          .marks_zeroes = (header.flags & kZeroedGrains) != 0 && !header.compressed()};
}

}  // namespace

void PackGrain(std::span<const uint8_t> grain, std::vector<uint8_t>* out) {
  thread_local Deflater deflater;
  deflater.Run(grain, out);
}

bool UnpackGrain(std::span<const uint8_t> packed, std::span<uint8_t> out) {
  thread_local Inflater inflater(MAX_WBITS);
  return inflater.Run(packed, out);
}

SparseExtent::SparseExtent(Image* file, const FormatImage* owner, uint64_t owner_offset,
                           const SparseHeader& header, uint64_t size_bytes, bool writable)
    : MappedStore(file, owner, owner_offset, ShapeOf(header, size_bytes, writable)), header_(header) {}

int SparseExtent::FindEntry(uint64_t directory_sector, uint64_t block, uint8_t** entry, uint64_t* place) {
  *entry = nullptr;
  const uint64_t table = block / header_.entries_per_table;
  uint8_t* bytes = nullptr;
  if (const int error = LoadEntry(directory_sector * kSectorBytes + table * 4, &bytes); error != 0)
    return error;
  const uint64_t sector = LoadLe<uint32_t>(bytes);
  if (sector == 0) return 0;
  *place = sector * kSectorBytes + block % header_.entries_per_table * 4;
  return LoadEntry(*place, entry);
}

int SparseExtent::Lookup(uint64_t block, BlockPlace* place) {
  uint8_t* entry = nullptr;
  uint64_t at = 0;
  if (const int error = FindEntry(header_.directory_sector, block, &entry, &at); error != 0) return error;
  *place = {};
  if (entry == nullptr) {
    place->run = header_.entries_per_table - block % header_.entries_per_table;
    return 0;
  }
  const uint32_t sector = LoadLe<uint32_t>(entry);
  if (sector == 0) return 0;
  if (sector == kZeroGrain && (header_.flags & kZeroedGrains) != 0) {
    place->kind = Kind::kZero;
    return 0;
  }
  *place = {.kind = header_.compressed() ? Kind::kPacked : Kind::kData, .host = sector * kSectorBytes};
  return 0;
}

int SparseExtent::Allocate(uint64_t block, uint64_t wanted, uint64_t* host, uint64_t* got) {
  uint8_t* entry = nullptr;
  uint64_t at = 0;
  if (const int error = FindEntry(header_.directory_sector, block, &entry, &at); error != 0) return error;
  // Extents that are written to have all their tables from the start.
  if (entry == nullptr || header_.compressed() || header_.is_cowd) return ENOTSUP;
  const uint64_t bytes = shape().block_bytes;
  *got = std::min<uint64_t>(wanted, header_.entries_per_table - block % header_.entries_per_table);
  *host = std::max(AppendAt(IsPowerOfTwo(bytes) ? bytes : kSectorBytes), shape().data_from);
  if ((*host + *got * bytes) / kSectorBytes > UINT32_MAX) return EFBIG;
  SetEnd(*host + *got * bytes);
  return 0;
}

int SparseExtent::SetEntry(uint64_t directory_sector, uint64_t block, uint32_t value) {
  uint8_t* entry = nullptr;
  uint64_t at = 0;
  if (const int error = FindEntry(directory_sector, block, &entry, &at); error != 0) return error;
  if (entry == nullptr) return 0;
  StoreLe<uint32_t>(entry, value);
  MarkEntryDirty(at);
  return 0;
}

int SparseExtent::Link(uint64_t block, const BlockPlace& place) {
  const auto value =
      place.kind == Kind::kZero ? kZeroGrain : static_cast<uint32_t>(place.host / kSectorBytes);
  if ((header_.flags & kRedundantTables) != 0) {
    if (const int error = SetEntry(header_.redundant_directory_sector, block, value); error != 0)
      return error;
  }
  return SetEntry(header_.directory_sector, block, value);
}

int SparseExtent::ReadPacked(const BlockPlace& place, uint64_t offset, std::span<const iovec> pieces) {
  thread_local std::vector<uint8_t> packed, grain;
  const uint64_t grain_bytes = shape().block_bytes;
  if (grain_bytes > kMaxPackedGrainBytes) return EIO;
  uint64_t start = place.host, size = 2 * grain_bytes;
  if ((header_.flags & kMarkers) != 0) {
    // One read for most grains: the marker and what is behind it.
    packed.resize(kGrainMarkerBytes + grain_bytes);
    if (const int error = Read(file(), start, packed); error != 0) return error;
    size = LoadLe<uint32_t>(&packed[8]);
    if (size == 0 || size > 2 * grain_bytes) return EIO;
    start += kGrainMarkerBytes;
    if (size <= grain_bytes) {
      packed.erase(packed.begin(), packed.begin() + kGrainMarkerBytes);
      packed.resize(size);
      start = 0;
    }
  }
  if (start != 0) {
    packed.resize(size);
    if (const int error = Read(file(), start, packed); error != 0) return error;
  }
  grain.resize(grain_bytes);
  if (!UnpackGrain(packed, grain)) return EIO;
  CopyToPieces(pieces, 0, std::span(grain).subspan(offset));
  return 0;
}

}  // namespace berth::block::vmdk
