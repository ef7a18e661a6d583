#include "block/vhdx/header.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace berth::block::vhdx {
namespace {

constexpr uint32_t kCastagnoli = 0x82f63b78;  // Reflected.

constexpr auto kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? kCastagnoli : 0);
    table[i] = value;
  }
  return table;
}();

Guid LoadGuid(const uint8_t* bytes) {
  Guid guid{};
  std::copy_n(bytes, guid.size(), guid.begin());
  return guid;
}

Result<std::vector<uint8_t>> ReadBytes(Image* file, uint64_t offset, uint64_t size) {
  std::vector<uint8_t> bytes(size);
  if (offset > INT64_MAX - size)
    return Fail(Code::kInvalidArgument, "offset {} is outside every file", offset);
  if (const int error = Read(file, offset, bytes); error != 0)
    return FailErrno(error, "Could not read the image");
  return bytes;
}

std::optional<Header> ReadCopy(Image* file, int copy) {
  const auto raw = ReadBytes(file, kHeaderOffsets[copy], kHeaderBytes);
  if (!raw || LoadLe<uint32_t>(raw->data()) != kHeadSignature) return std::nullopt;
  const std::vector<uint8_t>& bytes = *raw;
  if (LoadLe<uint32_t>(&bytes[4]) != Checksum(bytes, 4) || LoadLe<uint16_t>(&bytes[66]) != 1)
    return std::nullopt;
  return Header{.copy = copy,
                .sequence = LoadLe<uint64_t>(&bytes[8]),
                .file_write = LoadGuid(&bytes[16]),
                .data_write = LoadGuid(&bytes[32]),
                .log = LoadGuid(&bytes[48]),
                .log_bytes = LoadLe<uint32_t>(&bytes[68]),
                .log_offset = LoadLe<uint64_t>(&bytes[72])};
}

struct Region {
  uint64_t offset = 0, bytes = 0;
};

struct Regions {
  Region table, metadata;
};

Result<Regions> ReadRegions(Image* file) {
  std::vector<uint8_t> raw;
  for (const uint64_t offset : kRegionOffsets) {
    raw = TRY(ReadBytes(file, offset, kRegionTableBytes));
    if (LoadLe<uint32_t>(raw.data()) == kRegionSignature && LoadLe<uint32_t>(&raw[4]) == Checksum(raw, 4))
      break;
    raw.clear();
  }
  if (raw.empty()) return Fail(Code::kInvalidArgument, "the region table is damaged");
  const auto count = LoadLe<uint32_t>(&raw[8]);
  if (count > kMaxRegions) return Fail(Code::kInvalidArgument, "the region table has {} entries", count);
  Regions regions;
  for (uint32_t i = 0; i < count; ++i) {
    const uint8_t* entry = &raw[16 + i * 32];
    const Region region{LoadLe<uint64_t>(entry + 16), LoadLe<uint32_t>(entry + 24)};
    const Guid guid = LoadGuid(entry);
    if (region.offset < kUnit || region.offset % kUnit != 0 || region.offset > INT64_MAX - region.bytes) {
      return Fail(Code::kInvalidArgument, "a region is at the invalid offset {}", region.offset);
    }
    if (guid == kTableRegion) {
      regions.table = region;
    } else if (guid == kMetadataRegion) {
      regions.metadata = region;
    } else if (LoadLe<uint32_t>(entry + 28) & 1) {
      return Fail(Code::kUnimplemented, "the image has a region that is required and not known");
    }
  }
  if (regions.table.offset == 0 || regions.metadata.offset == 0) {
    return Fail(Code::kInvalidArgument, "the image lacks a region");
  }
  return regions;
}

// The value of an item of the metadata, of `size` bytes.
Result<std::vector<uint8_t>> ReadItem(Image* file, const Region& region, std::span<const uint8_t> table,
                                      const Guid& guid, uint64_t size) {
  const auto count = LoadLe<uint16_t>(&table[10]);
  for (uint32_t i = 0; i < count; ++i) {
    const uint8_t* entry = &table[32 + i * 32];
    if (LoadGuid(entry) != guid) continue;
    const auto offset = LoadLe<uint32_t>(entry + 16);
    if (LoadLe<uint32_t>(entry + 20) < size) break;
    return ReadBytes(file, region.offset + offset, size);
  }
  return Fail(Code::kInvalidArgument, "the image's metadata lacks an item");
}

}  // namespace

uint32_t Checksum(std::span<const uint8_t> bytes, size_t place) {
  uint32_t crc = UINT32_MAX;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const uint8_t byte = i >= place && i < place + 4 ? 0 : bytes[i];
    crc = crc >> 8 ^ kCrcTable[(crc ^ byte) & 0xff];
  }
  return ~crc;
}

Result<Header> ReadHeader(Image* file) {
  const auto first = ReadCopy(file, 0), second = ReadCopy(file, 1);
  if (!first && !second) return Fail(Code::kInvalidArgument, "No valid VHDX header found");
  const Header header = !second || (first && first->sequence >= second->sequence) ? *first : *second;
  if (header.log_offset % kUnit != 0 || header.log_bytes % kUnit != 0 || header.log_offset < kUnit ||
      header.log_bytes > kMaxLogBytes || header.log_offset > INT64_MAX - header.log_bytes) {
    return Fail(Code::kInvalidArgument, "the log's place is invalid");
  }
  return header;
}

Status WriteHeader(Image* file, Header* header) {
  header->copy = 1 - header->copy;
  ++header->sequence;
  std::vector<uint8_t> raw(kHeaderBytes);
  StoreLe<uint32_t>(&raw[0], kHeadSignature);
  StoreLe<uint64_t>(&raw[8], header->sequence);
  std::copy(header->file_write.begin(), header->file_write.end(), raw.begin() + 16);
  std::copy(header->data_write.begin(), header->data_write.end(), raw.begin() + 32);
  std::copy(header->log.begin(), header->log.end(), raw.begin() + 48);
  StoreLe<uint16_t>(&raw[66], 1);
  StoreLe<uint32_t>(&raw[68], static_cast<uint32_t>(header->log_bytes));
  StoreLe<uint64_t>(&raw[72], header->log_offset);
  StoreLe<uint32_t>(&raw[4], Checksum(raw, 4));
  int error = Write(file, kHeaderOffsets[header->copy], raw);
  if (error == 0) error = Flush(file);
  return error == 0 ? Ok() : FailErrno(error, "Could not write the VHDX header");
}

Result<Layout> ReadLayout(Image* file) {
  const Regions regions = TRY(ReadRegions(file));
  const auto table = TRY(ReadBytes(file, regions.metadata.offset, kMetadataTableBytes));
  if (!std::equal(kMetadataSignature.begin(), kMetadataSignature.end(), table.begin()) ||
      LoadLe<uint16_t>(&table[10]) > kMaxMetadataItems) {
    return Fail(Code::kInvalidArgument, "the metadata table is damaged");
  }
  const auto item = [&](const Guid& guid, uint64_t size) {
    return ReadItem(file, regions.metadata, table, guid, size);
  };
  const auto parameters = TRY(item(kFileParameters, 8));
  const auto size = TRY(item(kDiskSize, 8));
  const auto sector = TRY(item(kLogicalSector, 4));
  const Layout layout{.table_offset = regions.table.offset,
                      .table_bytes = regions.table.bytes,
                      .block_bytes = LoadLe<uint32_t>(parameters.data()),
                      .disk_bytes = LoadLe<uint64_t>(size.data()),
                      .sector_bytes = LoadLe<uint32_t>(sector.data())};
  if ((LoadLe<uint32_t>(&parameters[4]) & 2) != 0) {
    return Fail(Code::kUnimplemented, "VHDX images with a parent are not supported");
  }
  if (layout.sector_bytes != 512 && layout.sector_bytes != 4096) {
    return Fail(Code::kUnimplemented, "a logical sector size of {} is not supported", layout.sector_bytes);
  }
  if (!IsPowerOfTwo(layout.block_bytes) || layout.block_bytes < kMinBlockBytes ||
      layout.block_bytes > kMaxBlockBytes) {
    return Fail(Code::kInvalidArgument, "the block size {} is invalid", layout.block_bytes);
  }
  if (layout.disk_bytes % layout.sector_bytes != 0 || layout.disk_bytes > kMaxDiskBytes) {
    return Fail(Code::kInvalidArgument, "the disk size {} is invalid", layout.disk_bytes);
  }
  if (layout.entries() * 8 > layout.table_bytes) {
    return Fail(Code::kInvalidArgument, "the block table is too small for the disk");
  }
  return layout;
}

}  // namespace berth::block::vhdx
