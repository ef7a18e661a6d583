#include "block/vpc/image.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace berth::block::vpc {
namespace {

bool HasCookie(std::span<const uint8_t> bytes, std::string_view cookie) {
  return std::memcmp(bytes.data(), cookie.data(), cookie.size()) == 0;
}

// Those that tell the size in sectors; others' size is the geometry's.
bool TellsSize(const Footer& footer) {
  for (const std::string_view creator : {std::string_view("win "), std::string_view("qem2"),
                                         std::string_view("d2v "), std::string_view("tap\0", 4)}) {
    if (std::memcmp(&footer[28], creator.data(), 4) == 0) return true;
  }
  return false;
}

}  // namespace

VpcStore::VpcStore(Image* file, const Tables& tables, bool writable)
    : MappedStore(file, nullptr, 0,
                  {.size_bytes = tables.size_bytes,
                   .block_bytes = tables.block_bytes,
                   .data_from = tables.table_offset + tables.entries * uint64_t{4},
                   .writable = writable,
                   .absent_is_own = true}),
      table_(tables) {}

int VpcStore::FindEnd() {
  std::vector<uint8_t> piece(1 << 20);
  const uint64_t table_bytes = table_.entries * uint64_t{4};
  uint64_t next = AlignUp(table_.table_offset + table_bytes, kSectorBytes);
  for (uint64_t at = 0; at < table_bytes; at += piece.size()) {
    const std::span<uint8_t> now(piece.data(), std::min<uint64_t>(piece.size(), table_bytes - at));
    if (const int error = Read(file(), table_.table_offset + at, now); error != 0) return error;
    for (size_t i = 0; i < now.size(); i += 4) {
      const auto sector = LoadBe<uint32_t>(&now[i]);
      if (sector == kUnused) continue;
      next = std::max(next, sector * kSectorBytes + table_.bitmap_bytes() + table_.block_bytes);
    }
  }
  MutexLock lock(mutex_);
  next_ = next;
  return 0;
}

int VpcStore::Lookup(uint64_t block, BlockPlace* place) {
  *place = {};
  if (block >= table_.entries) return 0;
  uint8_t* entry = nullptr;
  if (const int error = LoadEntry(table_.table_offset + block * 4, &entry); error != 0) return error;
  const auto sector = LoadBe<uint32_t>(entry);
  if (sector == kUnused) return 0;
  *place = {.kind = BlockPlace::Kind::kData, .host = sector * kSectorBytes + table_.bitmap_bytes()};
  return 0;
}

int VpcStore::Allocate(uint64_t block, uint64_t, uint64_t* host, uint64_t* got) {
  if (block >= table_.entries) return EIO;
  const uint64_t end = next_ + table_.bitmap_bytes() + table_.block_bytes;
  if (end / kSectorBytes >= kUnused) return EFBIG;
  // Every sector counts as written: there is no parent that others could be in.
  const std::vector<uint8_t> bitmap(table_.bitmap_bytes(), 0xff);
  if (const int error = Write(file(), next_, bitmap); error != 0) return error;
  *host = next_ + table_.bitmap_bytes();
  *got = 1;
  next_ = end;
  return 0;
}

int VpcStore::Link(uint64_t block, const BlockPlace& place) {
  uint8_t* entry = nullptr;
  const uint64_t at = table_.table_offset + block * 4;
  if (const int error = LoadEntry(at, &entry); error != 0) return error;
  StoreBe<uint32_t>(entry, static_cast<uint32_t>((place.host - table_.bitmap_bytes()) / kSectorBytes));
  MarkEntryDirty(at);
  return 0;
}

// New blocks have pushed the footer away from the file's end; its copy in front was there all the time.
std::vector<TableWrite> VpcStore::TakeTables() {
  std::vector<TableWrite> writes = tables_.TakeDirty();
  if (!writes.empty()) writes.push_back({next_, {table_.footer.begin(), table_.footer.end()}});
  return writes;
}

VpcImage::VpcImage(std::unique_ptr<Image> file, bool writable) : FormatImage(std::move(file)) {
  limits_ = this->file()->limits();
  limits_.read_only |= !writable;
}

VpcImage::~VpcImage() {
  if (store_ && !limits_.read_only) (void)store_->Flush();
}

Status VpcImage::Load() {
  Footer footer{};
  if (const int error = Read(file(), 0, footer); error != 0)
    return FailErrno(error, "Unable to read VHD header");
  bool fixed = false;
  if (!HasCookie(footer, "conectix")) {
    const uint64_t end = file()->size_bytes();
    if (end < kFooterBytes) return Fail(Code::kInvalidArgument, "Unable to get VHD file size");
    if (const int error = Read(file(), end - kFooterBytes, footer); error != 0) {
      return FailErrno(error, "Unable to read VHD footer");
    }
    if (!HasCookie(footer, "conectix")) return Fail(Code::kInvalidArgument, "invalid VPC image");
    fixed = true;
  }
  if (LoadBe<uint32_t>(&footer[64]) != Checksum(footer, 64)) {
    return Fail(Code::kInvalidArgument, "Incorrect header checksum");
  }
  const Geometry geometry{LoadBe<uint16_t>(&footer[56]), footer[58], footer[59]};
  uint64_t sectors = geometry.sectors();
  if (TellsSize(footer) || sectors == kMaxGeometrySectors)
    sectors = LoadBe<uint64_t>(&footer[48]) / kSectorBytes;
  // The format's limit, and what more a geometry can say.
  if (sectors > kMaxSectors) return FailErrno(EFBIG, "the disk is too large");
  size_ = sectors * kSectorBytes;
  const auto type = LoadBe<uint32_t>(&footer[60]);
  if (fixed || type == kFixed) return Ok();
  if (type != kDynamic) return Fail(Code::kUnimplemented, "VHD images of type {} are not supported", type);
  return LoadDynamic(footer);
}

Status VpcImage::LoadDynamic(const Footer& footer) {
  const auto header_offset = LoadBe<uint64_t>(&footer[16]);
  std::array<uint8_t, kHeaderBytes> header{};
  if (header_offset > INT64_MAX - header.size())
    return Fail(Code::kInvalidArgument, "Error reading dynamic VHD header");
  if (const int error = Read(file(), header_offset, header); error != 0) {
    return FailErrno(error, "Error reading dynamic VHD header");
  }
  if (!HasCookie(header, "cxsparse")) return Fail(Code::kInvalidArgument, "Invalid header magic");
  VpcStore::Tables tables{.size_bytes = size_,
                          .block_bytes = LoadBe<uint32_t>(&header[32]),
                          .table_offset = LoadBe<uint64_t>(&header[16]),
                          .entries = LoadBe<uint32_t>(&header[28]),
                          .footer = footer};
  if (!IsPowerOfTwo(tables.block_bytes) || tables.block_bytes < kSectorBytes) {
    return Fail(Code::kInvalidArgument, "Invalid block size {}", tables.block_bytes);
  }
  if (tables.entries * tables.block_bytes < size_) {
    return Fail(Code::kInvalidArgument, "Page Allocation Table too small");
  }
  const uint64_t all = file()->size_bytes();
  if (!Range{0, all}.Contains(tables.table_offset, tables.entries * uint64_t{4})) {
    return Fail(Code::kInvalidArgument, "Page Allocation Table too large");
  }
  if (tables.table_offset % 4 != 0)
    return Fail(Code::kInvalidArgument, "Page Allocation Table is not aligned");
  store_ = std::make_unique<VpcStore>(file(), tables, !limits_.read_only);
  if (limits_.read_only) return Ok();
  const int error = store_->FindEnd();
  return error == 0 ? Ok() : FailErrno(error, "Error reading pagetable");
}

int VpcImage::Perform(const Request& request) {
  if (const int error = CheckRequest(request, size_, limits_.read_only); error != 0) return error;
  if (store_) return store_->Perform(request);
  if (request.op == Op::kDiscard) return 0;
  return file()->Perform(request);
}

Result<Extent> VpcImage::Map(uint64_t offset, uint64_t length) {
  if (store_) return store_->Map(offset, length);
  return Extent{.offset = offset,
                .length = length,
                .allocated = true,
                .data = true,
                .ask_file = true,
                .stored_at = offset};
}

ImageInfo VpcImage::Info() const {
  ImageInfo info;
  if (store_) info.cluster_size_bytes = store_->shape().block_bytes;
  return info;
}

}  // namespace berth::block::vpc
