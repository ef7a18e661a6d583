#include "block/vmdk/header.h"

#include <cstring>

#include "base/bytes.h"

namespace berth::block::vmdk {
namespace {

constexpr char kLineEnds[] = "\n \r\n";  // What a transfer as text would have changed.

Result<std::array<uint8_t, kSectorBytes>> ReadSector(Image* file, uint64_t offset) {
  std::array<uint8_t, kSectorBytes> sector{};
  if (const int error = Read(file, offset, sector); error != 0) {
    return FailErrno(error, "Could not read header from file '{}'", file->filename());
  }
  return sector;
}

SparseHeader Decode(const std::array<uint8_t, kSectorBytes>& raw) {
  return {.version = LoadLe<uint32_t>(&raw[4]),
          .flags = LoadLe<uint32_t>(&raw[8]),
          .capacity_sectors = LoadLe<uint64_t>(&raw[12]),
          .grain_sectors = LoadLe<uint64_t>(&raw[20]),
          .descriptor_sector = LoadLe<uint64_t>(&raw[28]),
          .descriptor_sectors = LoadLe<uint64_t>(&raw[36]),
          .entries_per_table = LoadLe<uint32_t>(&raw[44]),
          .redundant_directory_sector = LoadLe<uint64_t>(&raw[48]),
          .directory_sector = LoadLe<uint64_t>(&raw[56]),
          .overhead_sectors = LoadLe<uint64_t>(&raw[64]),
          .compression = LoadLe<uint16_t>(&raw[77])};
}

SparseHeader DecodeCowd(const std::array<uint8_t, kSectorBytes>& raw) {
  return {.capacity_sectors = LoadLe<uint32_t>(&raw[12]),
          .grain_sectors = LoadLe<uint32_t>(&raw[16]),
          .descriptor_sector = 0,
          .descriptor_sectors = 0,
          .entries_per_table = 4096,
          .directory_sector = LoadLe<uint32_t>(&raw[20]),
          .is_cowd = true};
}

// The last three sectors: the footer's marker, the footer, the marker of the stream's end.
Result<SparseHeader> ReadFooter(Image* file) {
  const uint64_t size = file->size_bytes();
  if (size < 3 * kSectorBytes) return Fail(Code::kInvalidArgument, "File truncated, its footer is missing");
  const auto marker = TRY(ReadSector(file, size - 3 * kSectorBytes));
  const auto footer = TRY(ReadSector(file, size - 2 * kSectorBytes));
  const auto end = TRY(ReadSector(file, size - kSectorBytes));
  const bool good = LoadLe<uint32_t>(&marker[8]) == 0 && LoadLe<uint32_t>(&marker[12]) == kMarkerFooter &&
                    LoadLe<uint32_t>(&footer[0]) == kMagic && LoadLe<uint64_t>(&end[0]) == 0 &&
                    LoadLe<uint32_t>(&end[8]) == 0 && LoadLe<uint32_t>(&end[12]) == kMarkerEnd;
  if (!good) return Fail(Code::kInvalidArgument, "The stream's footer is missing: the image is not complete");
  return Decode(footer);
}

}  // namespace

Result<SparseHeader> ReadSparseHeader(Image* file) {
  const auto raw = TRY(ReadSector(file, 0));
  SparseHeader header = LoadLe<uint32_t>(&raw[0]) == kCowdMagic ? DecodeCowd(raw) : Decode(raw);
  if (header.capacity_sectors == 0) return header;
  if (header.directory_sector == kTablesAtEnd) header = TRY(ReadFooter(file));
  if (!header.is_cowd && header.version > 3) {
    return Fail(Code::kUnimplemented, "Unsupported VMDK version {}", header.version);
  }
  if (header.entries_per_table > 512 && !header.is_cowd) {
    return Fail(Code::kInvalidArgument, "L2 table size too big");
  }
  if (header.grain_sectors == 0 || header.entries_per_table == 0 || header.grain_sectors > kMaxGrainSectors) {
    return Fail(Code::kInvalidArgument, "Invalid granularity, image may be corrupt");
  }
  if (header.capacity_sectors > INT64_MAX / kSectorBytes || header.tables() > kMaxDirectoryEntries) {
    return Fail(Code::kInvalidArgument, "L1 size too big");
  }
  if (header.compression > kDeflate) {
    return Fail(Code::kUnimplemented, "Unsupported VMDK compression {}", header.compression);
  }
  if (file->size_bytes() / kSectorBytes < header.overhead_sectors) {
    return Fail(Code::kInvalidArgument, "File truncated, expecting at least {} bytes",
                static_cast<int64_t>(header.overhead_sectors * kSectorBytes));
  }
  return header;
}

std::array<uint8_t, kSectorBytes> EncodeSparseHeader(const SparseHeader& header) {
  std::array<uint8_t, kSectorBytes> raw{};
  StoreLe<uint32_t>(&raw[0], kMagic);
  StoreLe<uint32_t>(&raw[4], header.version);
  StoreLe<uint32_t>(&raw[8], header.flags);
  StoreLe<uint64_t>(&raw[12], header.capacity_sectors);
  StoreLe<uint64_t>(&raw[20], header.grain_sectors);
  StoreLe<uint64_t>(&raw[28], header.descriptor_sector);
  StoreLe<uint64_t>(&raw[36], header.descriptor_sectors);
  StoreLe<uint32_t>(&raw[44], header.entries_per_table);
  StoreLe<uint64_t>(&raw[48], header.redundant_directory_sector);
  StoreLe<uint64_t>(&raw[56], header.directory_sector);
  StoreLe<uint64_t>(&raw[64], header.overhead_sectors);
  std::memcpy(&raw[73], kLineEnds, 4);
  StoreLe<uint16_t>(&raw[77], header.compression);
  return raw;
}

}  // namespace berth::block::vmdk
