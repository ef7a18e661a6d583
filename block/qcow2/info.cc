// What the tools show, and references that they change.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "block/qcow2/image.h"

namespace berth::block::qcow2 {

ImageInfo Qcow2Image::Info() const {
  const uint64_t l1_entries = header_.L1EntriesFor(header_.size_bytes);
  return {.cluster_size_bytes = header_.cluster_bytes(),
          .encrypted = header_.encryption != 0,
          .dirty = (header_.incompatible & kDirty) != 0,
          .vm_state_offset = l1_entries * l2_coverage()};
}

nlohmann::ordered_json Qcow2Image::SpecificInfo() const {
  nlohmann::ordered_json data;
  data["compat"] = header_.version == 2 ? "0.10" : "1.1";
  data["compression-type"] = header_.compression == Compression::kZstd ? "zstd" : "zlib";
  if (header_.version >= 3) {
    if (!header_.data_file.empty()) data["data-file"] = header_.data_file;
    if (header_.has_data_file()) data["data-file-raw"] = header_.data_file_raw();
    data["lazy-refcounts"] = (header_.compatible & kLazyRefcounts) != 0;
    nlohmann::ordered_json bitmaps = nlohmann::ordered_json::array();
    for (const BitmapInfo& bitmap : const_cast<Qcow2Image*>(this)->Bitmaps()) {
      auto flags = nlohmann::ordered_json::array();
      if (bitmap.inconsistent) flags.push_back("in-use");
      if (bitmap.enabled) flags.push_back("auto");
      bitmaps.push_back(
          {{"flags", std::move(flags)}, {"name", bitmap.name}, {"granularity", bitmap.granularity_bytes}});
    }
    if (!bitmaps.empty()) data["bitmaps"] = std::move(bitmaps);
    data["corrupt"] = (header_.incompatible & kCorrupt) != 0;
    data["extended-l2"] = header_.extended_l2();
  }
  data["refcount-bits"] = header_.refcount_bits();
  if (encryption_) {
    nlohmann::ordered_json encrypt;
    if (encryption_->by_place) encrypt = luks::Describe(encryption_->volume.header);
    encrypt["format"] = encryption_->by_place ? "luks" : "aes";
    data["encrypt"] = std::move(encrypt);
  }
  return {{"type", "qcow2"}, {"data", std::move(data)}};
}

// Whether far more clusters are counted than the file has room for: then mapped clusters may be holes of it.
// (qemu-img takes one less for far more: its own files have no holes in clusters that were written to, as
// ours have.)
bool Qcow2Image::PreallocatedSparsely() {
  MutexLock lock(mutex_);
  if (sparse_) return *sparse_;
  sparse_ = false;
  const auto allocated = file()->AllocatedBytes();
  if (!allocated || (!flags_.writable && refcounts_.table().empty() && !refcounts_.LoadTable())) return false;
  const uint64_t real = *allocated >> header_.cluster_bits,
                 end = file()->size_bytes() >> header_.cluster_bits;
  const uint64_t threshold = std::max(real * 10 / 9, real + 2);
  uint64_t counted = 0;
  for (uint64_t cluster = 0; cluster < end && counted <= threshold; ++cluster) {
    uint64_t count = 0;
    if (refcounts_.Get(cluster, &count) != 0) return false;
    counted += count != 0;
  }
  sparse_ = counted > threshold;
  return *sparse_;
}

std::optional<uint64_t> Qcow2Image::AllocatedBytes() const {
  auto bytes = file()->AllocatedBytes();
  if (data_file_) {
    const auto of_data = data_file_->AllocatedBytes();
    if (bytes && of_data) *bytes += *of_data;
  }
  return bytes;
}

Status Qcow2Image::ChangeBacking(const std::optional<BackingReference>& reference) {
  if (reference && reference->filename.size() > kMaxBackingNameBytes) {
    return Fail(Code::kInvalidArgument, "Backing file name too long");
  }
  MutexLock lock(mutex_);
  Header changed = header_;
  changed.backing_file = reference ? reference->filename : "";
  changed.backing_format = reference ? reference->format : "";
  return WriteHeader(changed);
}

// The L1 table says that there is nothing; then nothing needs what it referred to; then the file ends where
// it can.
Status Qcow2Image::MakeEmpty() {
  if (limits_.read_only) return Fail(Code::kFailedPrecondition, "the image is open for reading only");
  TRY(ToStatus(PrepareToChange(), "write the header"));
  TRY(ToStatus(Settle(), "write what was pending"));
  std::vector<uint64_t> old;
  {
    MutexLock lock(mutex_);
    old.resize(l1_.size());
    old.swap(l1_);
    for (size_t at = 0; at < old.size() * 8; at += kSectorBytes) dirty_l1_sectors_.insert(at / kSectorBytes);
    l2_.Clear();
  }
  TRY(ToStatus(FlushMetadata(), "drop the image's clusters"));
  TRY(ToStatus(CountUses(old, CountChange::kDecrease), "drop the image's clusters"));
  TRY(ToStatus(Settle(), "drop the image's clusters"));
  return TrimFile();
}

// Nothing that is counted is behind the file's end afterwards; most of what is not counted is cut off.
Status Qcow2Image::TrimFile() {
  MutexLock lock(mutex_);
  if (file()->driver() != "file") return Ok();
  uint64_t end = AlignUp(file()->size_bytes(), header_.cluster_bytes()) >> header_.cluster_bits;
  for (; end > 1; --end) {
    uint64_t count = 0;
    if (const int error = refcounts_.Get(end - 1, &count); error != 0 || count != 0) break;
  }
  fresh_from_ = std::min(fresh_from_, end << header_.cluster_bits);
  compressed_room_ = {};
  return file()->Resize(end << header_.cluster_bits, Preallocation::kOff);
}

}  // namespace berth::block::qcow2
