// Changing an image to another version, other features, another size.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "block/qcow2/amend_options.h"
#include "block/qcow2/image.h"

namespace berth::block::qcow2 {
namespace {

Result<uint32_t> VersionOf(const CreateOptions& options, uint32_t present) {
  const std::string compat = options.String("compat");
  if (compat.empty()) return present;
  if (compat == "0.10" || compat == "v2") return 2;
  if (compat == "1.1" || compat == "v3") return 3;
  return Fail(Code::kInvalidArgument, "Unknown compatibility level {}", compat);
}

Result<uint32_t> RefcountOrderOf(const CreateOptions& options, uint32_t present) {
  if (!options.Has("refcount_bits")) return present;
  const uint64_t bits = options.Number("refcount_bits");
  if (!IsPowerOfTwo(bits) || bits > 64) {
    return Fail(Code::kInvalidArgument, "Refcount width must be a power of two and may not exceed 64 bits");
  }
  return static_cast<uint32_t>(std::countr_zero(bits));
}

// What cannot be changed at all.
Status CheckAmendment(const Header& header, const CreateOptions& options) {
  const bool other_backing =
      options.Has("backing_file") && options.String("backing_file") != header.backing_file;
  const bool other_format =
      options.Has("backing_fmt") && options.String("backing_fmt") != header.backing_format;
  if (other_backing || other_format) {
    return Fail(Code::kInvalidArgument,
                "Cannot amend the backing file\nYou can use 'qemu-img rebase' instead.");
  }
  if (options.Has("data_file") && !header.has_data_file()) {
    return Fail(Code::kInvalidArgument,
                "data-file can only be set for images that use an external data file");
  }
  if (options.Bool("data_file_raw") && !header.data_file_raw()) {
    return Fail(Code::kInvalidArgument, "data-file-raw cannot be set on existing images");
  }
  if (luks::AsksForKeyChange(options, "encrypt.") && header.encryption != kLuks) {
    if (header.encryption == 0)
      return Fail(Code::kInvalidArgument, "Can't amend encryption options - encryption not present");
    return Fail(Code::kInvalidArgument, "Only LUKS encryption options can be amended");
  }
  return Ok();
}

}  // namespace

Status Amend(FormatImage* image, const CreateOptions& options) {
  return dynamic_cast<Qcow2Image*>(image)->Amend(options);
}

Status Qcow2Image::Amend(const CreateOptions& options) {
  if (limits_.read_only) return Fail(Code::kFailedPrecondition, "the image is open for reading only");
  const uint32_t version = TRY(VersionOf(options, header_.version));
  TRY(CheckAmendment(header_, options));
  const uint32_t order = TRY(RefcountOrderOf(options, header_.refcount_order));
  TRY(ToStatus(PrepareToChange(), "write the header"));
  if (version > header_.version) TRY(Upgrade());
  if (luks::AsksForKeyChange(options, "encrypt.")) {
    TRY(luks::ChangeKeys(&encryption_->volume, encryption_->master_key, options, "encrypt."));
  }
  if (order != header_.refcount_order) {
    if (version < 3 && order != 4) {
      return Fail(
          Code::kInvalidArgument,
          "Refcount widths other than 16 bits require compatibility level 1.1 or above (use compat=1.1 "
          "or greater)");
    }
    TRY(ChangeRefcountOrder(order));
  }
  TRY(AmendFlags(options, version));
  if (options.Has("size")) TRY(Resize(options.Number("size"), Preallocation::kOff));
  if (version < header_.version) TRY(Downgrade());
  return ToStatus(Settle(), "write the image");
}

Status Qcow2Image::AmendFlags(const CreateOptions& options, uint32_t version) {
  const bool lazy = options.Has("lazy_refcounts") ? options.Bool("lazy_refcounts")
                                                  : (header_.compatible & kLazyRefcounts) != 0;
  MutexLock lock(mutex_);
  Header changed = header_;
  if (options.Has("data_file_raw") && !options.Bool("data_file_raw")) changed.autoclear &= ~kRawExternalData;
  if (options.Has("data_file")) changed.data_file = options.String("data_file");
  if (lazy && version < 3 && options.Has("lazy_refcounts")) {
    return Fail(Code::kInvalidArgument,
                "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or "
                "greater)");
  }
  if (header_.version >= 3) {
    changed.compatible = lazy ? changed.compatible | kLazyRefcounts : changed.compatible & ~kLazyRefcounts;
  }
  return WriteHeader(changed);
}

Status Qcow2Image::Upgrade() {
  MutexLock lock(mutex_);
  Header changed = header_;
  changed.version = 3;
  return WriteHeader(changed);
}

// Version 2 has no feature bits and no clusters that say they are zero.
Status Qcow2Image::Downgrade() {
  if (header_.refcount_order != 4) {
    return Fail(Code::kInvalidArgument, "compat=0.10 requires refcount_bits=16");
  }
  if (header_.has_data_file()) {
    return Fail(Code::kUnimplemented, "Cannot downgrade an image with a data file");
  }
  if (const uint64_t features = header_.incompatible & ~kDirty; features != 0) {
    return Fail(Code::kUnimplemented, "Cannot downgrade an image with incompatible features 0x{:x} set",
                features);
  }
  if (!Bitmaps().empty()) {
    return Fail(Code::kUnimplemented,
                "Cannot downgrade an image with persistent bitmaps; remove them before");
  }
  for (const SnapshotEntry& entry : snapshots_) {
    if (entry.snapshot.vm_state_bytes > UINT32_MAX || entry.snapshot.disk_bytes != size_) {
      return Fail(Code::kUnimplemented, "Internal snapshots prevent downgrade of image");
    }
  }
  TRY(ExpandZeroes());
  TRY(ToStatus(Settle(), "expand the image's zero clusters"));
  MutexLock lock(mutex_);
  Header changed = header_;
  changed.version = 2;
  changed.incompatible = changed.compatible = changed.autoclear = 0;
  changed.unknown_fields.clear();
  return WriteHeader(changed);
}

// Clusters that say they are zero hold zeroes from then on, or nothing where nothing is beneath.
Status Qcow2Image::ExpandZeroes() {
  for (const SnapshotEntry& entry : snapshots_) {
    std::vector<uint8_t> raw(header_.cluster_bytes());
    for (const uint64_t l1_entry : TRY(ReadL1(entry.l1_offset, entry.l1_entries))) {
      if ((l1_entry & kOffsetMask) == 0) continue;
      TRY(ToStatus(Read(file(), l1_entry & kOffsetMask, raw), "read a snapshot's tables"));
      for (uint64_t i = 0; i < header_.l2_entries(); ++i) {
        const L2Entry l2_entry = LoadEntry(header_, raw.data(), i);
        if (l2_entry.compressed() || (l2_entry.value & kZero) == 0) continue;
        return Fail(Code::kUnimplemented, "a snapshot has zero clusters, which version 2 cannot say");
      }
    }
  }
  const std::vector<uint8_t> zeroes(header_.cluster_bytes());
  for (uint64_t offset = 0, end = size_; offset < end;) {
    const Extent extent = TRY(Map(offset, end - offset));
    uint64_t length = extent.length;
    if (extent.zero && !extent.stored_at && header_.backing_file.empty()) {
      TRY(ToStatus(ForgetClusters(offset, AlignUp(length, header_.cluster_bytes())),
                   "drop the image's zero clusters"));
    } else if (extent.zero) {
      length = std::min<uint64_t>(length, header_.cluster_bytes());
      const iovec piece{const_cast<uint8_t*>(zeroes.data()), length};
      TRY(ToStatus(RelieveCaches(), "expand the image's zero clusters"));
      TRY(ToStatus(WriteData(offset, length, {&piece, 1}), "expand the image's zero clusters"));
    }
    offset += length;
  }
  return Ok();
}

}  // namespace berth::block::qcow2
