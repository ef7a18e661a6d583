// vdi, VirtualBox's disk image: a header, a map of one number a block of 1 MiB, blocks.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "block/driver.h"
#include "block/guid.h"
#include "block/mapped_store.h"
#include "block/new_file.h"

namespace berth::block {
namespace {

constexpr uint32_t kSignature = 0xbeda107f, kVersion = 0x00010001;
constexpr uint32_t kDynamic = 1, kStatic = 2;
constexpr uint64_t kSectorBytes = 512, kBlockBytes = 1 << 20, kHeaderBytes = 512;
constexpr uint32_t kUnallocated = 0xffffffff, kDiscarded = 0xfffffffe;
constexpr uint64_t kMaxBlocks = 0x1fffff80;
constexpr uint64_t kCountOffset = 0x184;  // Of the number of allocated blocks.

struct VdiHeader {
  uint32_t type = kDynamic;
  uint32_t map_offset = kHeaderBytes, data_offset = 0;
  uint64_t disk_bytes = 0;
  uint32_t blocks = 0, allocated = 0;
};

bool IsAllocated(uint32_t entry) { return entry < kDiscarded; }

Result<VdiHeader> ReadHeader(Image* file) {
  uint8_t raw[kHeaderBytes] = {};
  if (const int error = Read(file, 0, raw); error != 0)
    return FailErrno(error, "Could not read the VDI header");
  const auto number = [&](size_t at) { return LoadLe<uint32_t>(&raw[at]); };
  VdiHeader header{.type = number(0x4c),
                   .map_offset = number(0x154),
                   .data_offset = number(0x158),
                   .disk_bytes = LoadLe<uint64_t>(&raw[0x170]),
                   .blocks = number(0x180),
                   .allocated = number(kCountOffset)};
  const auto refuse = [](std::string why) { return Fail(Error(Code::kUnimplemented, std::move(why))); };
  if (header.disk_bytes > kMaxBlocks * kBlockBytes) {
    return refuse(fmt::format("Unsupported VDI image size (size is {:#x}, max supported is {:#x})",
                              header.disk_bytes, kMaxBlocks * kBlockBytes));
  }
  header.disk_bytes = AlignUp(header.disk_bytes, kSectorBytes);
  if (number(0x40) != kSignature) {
    return Fail(Code::kInvalidArgument, "Image not in VDI format (bad signature {:08x})", number(0x40));
  }
  if (number(0x44) != kVersion) {
    return refuse(
        fmt::format("unsupported VDI image (version {}.{})", number(0x44) >> 16, number(0x44) & 0xffff));
  }
  if (header.map_offset % kSectorBytes != 0) {
    return refuse(fmt::format("unsupported VDI image (unaligned block map offset {:#x})", header.map_offset));
  }
  if (header.data_offset % kSectorBytes != 0) {
    return refuse(fmt::format("unsupported VDI image (unaligned data offset {:#x})", header.data_offset));
  }
  if (number(0x168) != kSectorBytes) {
    return refuse(
        fmt::format("unsupported VDI image (sector size {} is not {})", number(0x168), kSectorBytes));
  }
  if (number(0x178) != kBlockBytes) {
    return refuse(fmt::format("unsupported VDI image (block size {} is not {})", number(0x178), kBlockBytes));
  }
  if (header.disk_bytes > header.blocks * kBlockBytes) {
    return refuse(fmt::format("unsupported VDI image (disk size {}, image bitmap has room for {})",
                              header.disk_bytes, header.blocks * kBlockBytes));
  }
  const auto is_null = [&](size_t at) {
    return std::all_of(&raw[at], &raw[at + 16], [](uint8_t byte) { return byte == 0; });
  };
  if (!is_null(0x1a8)) return refuse("unsupported VDI image (non-NULL link UUID)");
  if (!is_null(0x1b8)) return refuse("unsupported VDI image (non-NULL parent UUID)");
  if (header.blocks > kMaxBlocks) {
    return refuse(
        fmt::format("unsupported VDI image (too many blocks {}, max is {})", header.blocks, kMaxBlocks));
  }
  return header;
}

class VdiStore final : public MappedStore {
 public:
  VdiStore(Image* file, const VdiHeader& header, bool writable)
      : MappedStore(file, nullptr, 0,
                    {.size_bytes = header.disk_bytes,
                     .block_bytes = kBlockBytes,
                     .data_from = header.data_offset,
                     .writable = writable,
                     .absent_is_own = true,
                     .ask_file = header.type == kStatic}),
        header_(header),
        allocated_(header.allocated) {}

  // The first block that none of the map has, whatever the header's count says: after a crash it may be
  // behind.
  int FindFree() {
    std::vector<uint8_t> piece(1 << 20);
    const uint64_t end = header_.blocks * uint64_t{4};
    uint64_t free = header_.allocated;
    for (uint64_t at = 0; at < end; at += piece.size()) {
      const std::span<uint8_t> now(piece.data(), std::min<uint64_t>(piece.size(), end - at));
      if (const int error = Read(file(), header_.map_offset + at, now); error != 0) return error;
      for (size_t i = 0; i < now.size(); i += 4) {
        const auto entry = LoadLe<uint32_t>(&now[i]);
        if (IsAllocated(entry)) free = std::max<uint64_t>(free, uint64_t{entry} + 1);
      }
    }
    MutexLock lock(mutex_);
    allocated_ = free;
    return 0;
  }

 protected:
  int Lookup(uint64_t block, BlockPlace* place) override REQUIRES(mutex_) {
    uint8_t* entry = nullptr;
    if (const int error = LoadEntry(header_.map_offset + block * 4, &entry); error != 0) return error;
    const auto index = LoadLe<uint32_t>(entry);
    *place = {};
    if (IsAllocated(index))
      *place = {.kind = BlockPlace::Kind::kData, .host = header_.data_offset + index * kBlockBytes};
    return 0;
  }
  int Allocate(uint64_t, uint64_t wanted, uint64_t* host, uint64_t* got) override REQUIRES(mutex_) {
    if (allocated_ + wanted > kMaxBlocks) return ENOSPC;
    *host = header_.data_offset + allocated_ * kBlockBytes;
    *got = wanted;
    allocated_ += wanted;
    return 0;
  }
  int Link(uint64_t block, const BlockPlace& place) override REQUIRES(mutex_) {
    uint8_t* entry = nullptr;
    const uint64_t at = header_.map_offset + block * 4;
    if (const int error = LoadEntry(at, &entry); error != 0) return error;
    StoreLe<uint32_t>(entry, static_cast<uint32_t>((place.host - header_.data_offset) / kBlockBytes));
    MarkEntryDirty(at);
    if (const int error = LoadEntry(kCountOffset, &entry); error != 0) return error;
    StoreLe<uint32_t>(entry, static_cast<uint32_t>(allocated_));
    MarkEntryDirty(kCountOffset);
    return 0;
  }

 private:
  const VdiHeader header_;
  uint64_t allocated_ GUARDED_BY(mutex_);
};

class VdiImage final : public FormatImage {
 public:
  VdiImage(std::unique_ptr<Image> file, const VdiHeader& header, bool writable)
      : FormatImage(std::move(file)),
        header_(header),
        store_(this->file(), header, writable),
        limits_(this->file()->limits()) {
    limits_.read_only |= !writable;
  }
  ~VdiImage() override {
    if (!limits_.read_only) (void)store_.Flush();
  }
  Status Load() {
    if (limits_.read_only) return Ok();
    const int error = store_.FindFree();
    return error == 0 ? Ok() : FailErrno(error, "Could not read the block map");
  }
  uint64_t size_bytes() const override { return header_.disk_bytes; }
  const Limits& limits() const override { return limits_; }
  int Perform(const Request& request) override {
    const int error = CheckRequest(request, size_bytes(), limits_.read_only);
    return error != 0 ? error : store_.Perform(request);
  }
  Result<Extent> Map(uint64_t offset, uint64_t length) override { return store_.Map(offset, length); }
  std::optional<uint64_t> AllocatedBytes() const override { return file()->AllocatedBytes(); }
  ImageInfo Info() const override { return {.cluster_size_bytes = kBlockBytes}; }
  Result<CheckReport> Check(const Repair& repair) override;

 private:
  const VdiHeader header_;
  VdiStore store_;
  Limits limits_;
};

Result<CheckReport> VdiImage::Check(const Repair& repair) {
  if (repair.leaks || repair.corruptions) return Fail(Code::kUnimplemented, "VDI images cannot be repaired");
  CheckReport report;
  const auto say = [&](std::string message) {
    ++report.corruptions;
    if (report.messages.size() < kMaxCheckMessages) report.messages.push_back(std::move(message));
  };
  // Bounded by what the file can hold.
  std::vector<uint8_t> map(header_.blocks * uint64_t{4});
  if (header_.map_offset + map.size() > file()->size_bytes()) {
    return Fail(Code::kDataLoss, "the block map is not inside the file");
  }
  if (Read(file(), header_.map_offset, map) != 0) {
    ++report.errors;
    return report;
  }
  std::vector<bool> used(header_.blocks);
  uint32_t allocated = 0;
  for (uint32_t block = 0; block < header_.blocks; ++block) {
    const auto entry = LoadLe<uint32_t>(&map[block * size_t{4}]);
    if (!IsAllocated(entry)) continue;
    if (entry >= header_.blocks) {
      say(fmt::format("ERROR: block index {} out of range, is {}", block, entry));
      continue;
    }
    ++allocated;
    if (used[entry]) say(fmt::format("ERROR: block index {} also used by {}", entry, entry));
    used[entry] = true;
  }
  if (allocated != header_.allocated) {
    say(fmt::format("ERROR: allocated blocks mismatch, is {}, should be {}", allocated, header_.allocated));
  }
  return report;
}

Result<std::unique_ptr<FormatImage>> OpenVdi(OpenContext* context) {
  const VdiHeader header = TRY(ReadHeader(context->file.get()));
  auto image = std::make_unique<VdiImage>(std::move(context->file), header, context->flags.writable);
  TRY(image->Load());
  return image;
}

Status CreateVdi(const std::string& filename, const CreateOptions& options) {
  const uint64_t size = AlignUp(options.Number("size"), kSectorBytes);
  const bool is_static = options.Bool("static");
  if (size > kMaxBlocks * kBlockBytes) {
    return Fail(Code::kUnimplemented, "Unsupported VDI image size (size is {:#x}, max supported is {:#x})",
                size, kMaxBlocks * kBlockBytes);
  }
  const auto blocks = static_cast<uint32_t>((size + kBlockBytes - 1) / kBlockBytes);
  const uint64_t map_bytes = AlignUp(blocks * uint64_t{4}, kSectorBytes);
  std::vector<uint8_t> raw(kHeaderBytes + map_bytes);
  constexpr std::string_view kText = "<<< Oracle VM VirtualBox Disk Image >>>\n";
  std::copy(kText.begin(), kText.end(), raw.begin());
  const auto number = [&](size_t at, uint64_t value) {
    StoreLe<uint32_t>(&raw[at], static_cast<uint32_t>(value));
  };
  number(0x40, kSignature);
  number(0x44, kVersion);
  number(0x48, 0x180);
  number(0x4c, is_static ? kStatic : kDynamic);
  number(0x154, kHeaderBytes);
  number(0x158, raw.size());
  number(0x168, kSectorBytes);
  StoreLe<uint64_t>(&raw[0x170], size);
  number(0x178, kBlockBytes);
  number(0x180, blocks);
  number(kCountOffset, is_static ? blocks : 0);
  for (const size_t at : {0x188, 0x198}) {
    const Guid guid = RandomGuid();
    std::copy(guid.begin(), guid.end(), raw.begin() + static_cast<ptrdiff_t>(at));
  }
  for (uint32_t block = 0; block < blocks; ++block) {
    number(kHeaderBytes + block * size_t{4}, is_static ? block : kUnallocated);
  }
  const auto file = TRY(CreateFileFor(filename, 0));
  if (const int error = Write(file.get(), 0, raw); error != 0) {
    return FailErrno(error, "Error writing header to {}", filename);
  }
  if (!is_static) return Ok();
  return Context(file->Resize(raw.size() + blocks * kBlockBytes, Preallocation::kOff),
                 "Failed to statically allocate file");
}

constexpr CreateOption kCreateOptions[] = {
    {"size", CreateOption::Type::kSize, "Virtual disk size"},
    {"static", CreateOption::Type::kBool, "VDI static (pre-allocated) image", "off"},
};

}  // namespace

const Format kVdiFormat{.name = "vdi",
                        .probe =
                            [](std::span<const uint8_t> head, std::string_view) {
                              return head.size() >= 0x44 && LoadLe<uint32_t>(&head[0x40]) == kSignature ? 100
                                                                                                        : 0;
                            },
                        .open = OpenVdi,
                        .create_options = kCreateOptions,
                        .create = CreateVdi};

}  // namespace berth::block
