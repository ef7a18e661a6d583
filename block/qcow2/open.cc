#include "block/open.h"

#include <algorithm>
#include <filesystem>

#include "block/qcow2/image.h"

namespace berth::block::qcow2 {
namespace {

constexpr uint64_t kMaxL2CacheBytes = 32u << 20, kMaxRefcountCacheBytes = 4u << 20;
constexpr size_t kMinSlices = 16;
constexpr uint64_t kMaxSliceBytes = 4096;

uint64_t SliceBytes(const Header& header) { return std::min(kMaxSliceBytes, header.cluster_bytes()); }

size_t L2Slices(const Header& header) {
  const uint64_t all = header.size_bytes / header.cluster_bytes() * header.l2_entry_bytes();
  return std::max<size_t>(kMinSlices, std::min(all, kMaxL2CacheBytes) / SliceBytes(header) + 1);
}

// Unlike a backing image's, this name is relative to where the program runs: so others have it.
std::string DataFileName(const std::string& name) {
  const bool described = name.starts_with("json:") || ProtocolOf(name) != &kFileProtocol;
  return described ? name : std::filesystem::absolute(name).string();
}

}  // namespace

Qcow2Image::Qcow2Image(std::unique_ptr<Image> file, std::unique_ptr<Image> data_file,
                       std::unique_ptr<Encryption> encryption, Header header, const OpenFlags& flags)
    : FormatImage(std::move(file)),
      flags_(flags),
      header_(std::move(header)),
      size_(header_.size_bytes),
      limits_(data_file ? data_file->limits() : this->file()->limits()),
      data_file_(std::move(data_file)),
      encryption_(std::move(encryption)),
      metadata_(header_.cluster_bits),
      l2_(this->file(), SliceBytes(header_), L2Slices(header_)),
      refcounts_(this->file(), &header_, &metadata_, &released_,
                 std::max<size_t>(kMinSlices, kMaxRefcountCacheBytes / SliceBytes(header_))) {
  limits_.read_only = !flags.writable;
  limits_.discard_granularity_bytes = static_cast<uint32_t>(unit_bytes());
  if (encryption_) {
    limits_.block_size_bytes = std::max<uint32_t>(limits_.block_size_bytes, kCipherSectorBytes);
  }
}

Status Qcow2Image::Load() {
  {
    MutexLock lock(mutex_);
    metadata_.Clear();
    l2_.Clear();
    dirty_l1_sectors_.clear();
    compressed_room_ = {};
  }
  TRY(LoadL1());
  snapshots_ = TRY(ReadSnapshots(file(), header_));
  if (!flags_.writable) return Ok();
  {
    MutexLock lock(mutex_);
    metadata_.Add(0, header_.cluster_bytes(), Section::kHeader);
    if (encryption_ && encryption_->by_place) {
      const Range place = TRY(EncryptionHeaderPlace(header_));
      metadata_.Add(place.start, encryption_->volume.header.payload_bytes(), Section::kHeader);
    }
    metadata_.Add(header_.snapshots_offset, SnapshotTableBytes(snapshots_), Section::kSnapshotTable);
    TRY(refcounts_.LoadTable());
    // A block device has bytes everywhere; what is behind a file's end reads as zeroes.
    const uint64_t end = AlignUp(file()->size_bytes(), header_.cluster_bytes());
    fresh_from_ = file()->driver() == "file" ? end : UINT64_MAX;
  }
  return AddInactiveMetadata();
}

Status Qcow2Image::LoadL1() {
  std::vector<uint8_t> raw(uint64_t{header_.l1_entries} * 8);
  if (const int error = Read(file(), header_.l1_offset, raw); error != 0) {
    return FailErrno(error, "Could not read L1 table");
  }
  MutexLock lock(mutex_);
  l1_.resize(header_.l1_entries);
  for (size_t i = 0; i < l1_.size(); ++i) {
    l1_[i] = LoadBe<uint64_t>(&raw[i * 8]);
    if (flags_.writable && (l1_[i] & kOffsetMask) != 0) {
      metadata_.Add(l1_[i] & kOffsetMask, header_.cluster_bytes(), Section::kL2);
    }
  }
  if (flags_.writable) metadata_.Add(header_.l1_offset, raw.size(), Section::kL1);
  return Ok();
}

// Tables of snapshots are never written to, and nothing may be written over them.
Status Qcow2Image::AddInactiveMetadata() {
  uint64_t budget =
      kMaxL1Bytes / 8;  // Entries, over all snapshots; those beyond are protected by their counts.
  for (const SnapshotEntry& entry : snapshots_) {
    if (entry.l1_entries > budget) break;
    budget -= entry.l1_entries;
    std::vector<uint8_t> raw(uint64_t{entry.l1_entries} * 8);
    if (const int error = Read(file(), entry.l1_offset, raw); error != 0) {
      return FailErrno(error, "Could not read the L1 table of snapshot '{}'", entry.snapshot.id);
    }
    MutexLock lock(mutex_);
    metadata_.Add(entry.l1_offset, raw.size(), Section::kInactiveL1);
    for (size_t at = 0; at < raw.size(); at += 8) {
      const uint64_t offset = LoadBe<uint64_t>(&raw[at]) & kOffsetMask;
      if (offset != 0 && metadata_.Conflict(offset, 1, Section::kNone) == Section::kNone) {
        metadata_.Add(offset, header_.cluster_bytes(), Section::kInactiveL2);
      }
    }
  }
  return Ok();
}

std::optional<BackingReference> Qcow2Image::backing_reference() const {
  if (header_.backing_file.empty()) return std::nullopt;
  return BackingReference{header_.backing_file, header_.backing_format};
}

Result<std::unique_ptr<FormatImage>> Open(OpenContext* context) {
  Header header = TRY(ReadHeader(context->file.get()));
  if (header.encryption > 2)
    return Fail(Code::kUnimplemented, "Unsupported encryption method {}", header.encryption);
  if ((header.incompatible & kCorrupt) != 0 && context->flags.writable && !context->flags.check) {
    return Fail(Code::kFailedPrecondition, "qcow2: Image is corrupt; cannot be opened read/write");
  }
  if (header.refcount_table_clusters == 0 && !context->flags.check) {
    return Fail(Code::kInvalidArgument, "Image does not contain a reference count table");
  }
  auto encryption = TRY(OpenEncryption(context->file.get(), header, &context->options, context->flags.no_io));
  std::unique_ptr<Image> data_file;
  if (header.has_data_file() && !context->flags.no_io) {
    if (header.data_file.empty())
      return Fail(Code::kInvalidArgument, "'data-file' is required for this image");
    OpenFlags flags = context->flags;
    flags.check = false;
    data_file = TRY(Context(context->gate->Open(DataFileName(header.data_file), "raw", flags),
                            "Could not open external data file"));
  }
  const bool repair = (header.incompatible & kDirty) != 0 && context->flags.writable && !context->flags.check;
  auto image = std::make_unique<Qcow2Image>(std::move(context->file), std::move(data_file),
                                            std::move(encryption), std::move(header), context->flags);
  TRY(image->Load());
  image->LoadBitmapDirectory();
  if (repair) {
    const CheckReport report = TRY(image->Check({.leaks = true, .corruptions = true}));
    if (report.errors != 0 || report.corruptions > report.corruptions_fixed) {
      return Fail(Code::kDataLoss, "Could not repair dirty image");
    }
  }
  return image;
}

}  // namespace berth::block::qcow2
