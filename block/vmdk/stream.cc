#include "block/vmdk/stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/pieces.h"

namespace berth::block::vmdk {
namespace {

// What VMware's tools write: the first grain begins behind this much.
constexpr uint64_t kOverheadSectors = 128;

void AppendMarker(std::vector<uint8_t>* out, uint64_t sectors, uint32_t type) {
  const size_t at = out->size();
  out->resize(at + kSectorBytes);
  StoreLe<uint64_t>(&(*out)[at], sectors);
  StoreLe<uint32_t>(&(*out)[at + 12], type);
}

void AppendTable(std::vector<uint8_t>* out, std::span<const uint32_t> entries) {
  const size_t at = out->size();
  out->resize(at + AlignUp(entries.size() * 4, kSectorBytes));
  for (size_t i = 0; i < entries.size(); ++i) StoreLe<uint32_t>(&(*out)[at + i * 4], entries[i]);
}

// Tables, directory, footer, end; `at` is where in the file they will be.
std::vector<uint8_t> StreamEnd(const SparseHeader& header, uint64_t at,
                               const std::map<uint64_t, std::vector<uint32_t>>& tables) {
  std::vector<uint8_t> out;
  std::vector<uint32_t> directory(header.tables());
  for (const auto& [index, entries] : tables) {
    AppendMarker(&out, AlignUp(entries.size() * 4, kSectorBytes) / kSectorBytes, kMarkerTable);
    directory[index] = static_cast<uint32_t>((at + out.size()) / kSectorBytes);
    AppendTable(&out, entries);
  }
  AppendMarker(&out, AlignUp(directory.size() * 4, kSectorBytes) / kSectorBytes, kMarkerDirectory);
  SparseHeader footer = header;
  footer.directory_sector = (at + out.size()) / kSectorBytes;
  AppendTable(&out, directory);
  AppendMarker(&out, 1, kMarkerFooter);
  const auto raw = EncodeSparseHeader(footer);
  out.insert(out.end(), raw.begin(), raw.end());
  AppendMarker(&out, 0, kMarkerEnd);
  return out;
}

}  // namespace

SparseHeader StreamHeader(uint64_t capacity_sectors) {
  return {.version = 3,
          .flags = kNewlineTest | kCompressed | kMarkers,
          .capacity_sectors = capacity_sectors,
          .directory_sector = kTablesAtEnd,
          .overhead_sectors = kOverheadSectors,
          .compression = kDeflate};
}

Status WriteEmptyStream(Image* file, const SparseHeader& header, std::string_view descriptor) {
  const auto raw = EncodeSparseHeader(header);
  std::vector<uint8_t> bytes(raw.begin(), raw.end());
  bytes.resize(header.overhead_sectors * kSectorBytes);
  std::memcpy(&bytes[header.descriptor_sector * kSectorBytes], descriptor.data(), descriptor.size());
  const std::vector<uint8_t> end = StreamEnd(header, bytes.size(), {});
  bytes.insert(bytes.end(), end.begin(), end.end());
  if (const int error = block::Write(file, 0, bytes); error != 0) {
    return FailErrno(error, "Could not write the VMDK header");
  }
  return Ok();
}

StreamExtent::StreamExtent(Image* file, const SparseHeader& header, uint64_t size_bytes)
    : SparseExtent(file, nullptr, 0, header, size_bytes, true),
      append_at_(header.overhead_sectors * kSectorBytes) {}

int StreamExtent::Lookup(uint64_t block, BlockPlace* place) {
  const uint64_t per_table = header().entries_per_table;
  const auto table = grain_tables_.find(block / per_table);
  *place = {};
  if (table == grain_tables_.end()) {
    place->run = per_table - block % per_table;
  } else if (const uint32_t sector = table->second[block % per_table]; sector != 0) {
    *place = {.kind = BlockPlace::Kind::kPacked, .host = sector * kSectorBytes};
  }
  return 0;
}

int StreamExtent::WriteGrain(uint64_t block, std::span<const uint8_t> packed) {
  const uint64_t per_table = header().entries_per_table;
  std::vector<uint8_t> bytes(AlignUp(kGrainMarkerBytes + packed.size(), kSectorBytes));
  StoreLe<uint64_t>(&bytes[0], block * header().grain_sectors);
  StoreLe<uint32_t>(&bytes[8], static_cast<uint32_t>(packed.size()));
  std::copy(packed.begin(), packed.end(), bytes.begin() + kGrainMarkerBytes);
  uint64_t at = 0;
  {
    MutexLock lock(mutex_);
    BlockPlace place;
    (void)Lookup(block, &place);
    if (place.kind != BlockPlace::Kind::kAbsent) return EIO;
    if (ended_) return EROFS;
    if ((append_at_ + bytes.size()) / kSectorBytes > UINT32_MAX) return EFBIG;
    at = append_at_;
    append_at_ += bytes.size();
  }
  const int error = block::Write(file(), at, bytes);
  MutexLock lock(mutex_);
  if (error != 0) {
    ended_ = true;  // With a hole in it, it is no stream any more.
    return error;
  }
  auto& table = grain_tables_[block / per_table];
  table.resize(per_table);
  table[block % per_table] = static_cast<uint32_t>(at / kSectorBytes);
  return 0;
}

int StreamExtent::Write(const Request& request) {
  const uint64_t grain = shape().block_bytes;
  if (request.offset % grain != 0) return ENOTSUP;
  std::vector<uint8_t> content(grain), packed;
  for (uint64_t done = 0; done < request.length; done += grain) {
    const uint64_t size = std::min(grain, request.length - done);
    if (size < grain && request.offset + request.length != shape().size_bytes) return ENOTSUP;
    std::fill(content.begin(), content.end(), 0);
    CopyFromPieces(request.pieces, done, {content.data(), size});
    PackGrain(content, &packed);
    if (const int error = WriteGrain((request.offset + done) / grain, packed); error != 0) return error;
  }
  return 0;
}

int StreamExtent::Finish() {
  std::vector<uint8_t> end;
  uint64_t at = 0;
  {
    MutexLock lock(mutex_);
    if (ended_ || grain_tables_.empty()) return block::Flush(file());
    ended_ = true;
    at = append_at_;
    end = StreamEnd(header(), at, grain_tables_);
    if ((at + end.size()) / kSectorBytes > UINT32_MAX) return EFBIG;
  }
  if (const int error = block::Write(file(), at, end); error != 0) return error;
  return block::Flush(file());
}

}  // namespace berth::block::vmdk
