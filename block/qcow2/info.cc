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
    data["corrupt"] = (header_.incompatible & kCorrupt) != 0;
    data["extended-l2"] = header_.extended_l2();
  }
  data["refcount-bits"] = header_.refcount_bits();
  return {{"type", "qcow2"}, {"data", std::move(data)}};
}

// Whether far more clusters are counted than the file has room for: then mapped clusters may be holes of it.
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

Status Qcow2Image::MakeEmpty() {
  const int error = ForgetClusters(0, AlignUp(size_, header_.cluster_bytes()));
  if (error != 0) return FailErrno(error, "drop the image's clusters");
  if (const int flushed = FlushMetadata(); flushed != 0)
    return FailErrno(flushed, "drop the image's clusters");
  return Ok();
}

}  // namespace berth::block::qcow2
