// Making the disk larger or smaller, and giving room to clusters before they are written.
#include <algorithm>
#include <cerrno>

#include "block/qcow2/image.h"

namespace berth::block::qcow2 {

Status Qcow2Image::Resize(uint64_t size_bytes, Preallocation preallocation) {
  if (limits_.read_only) return Fail(Code::kFailedPrecondition, "the image is open for reading only");
  if (!IsAligned(size_bytes, kSectorBytes)) {
    return Fail(Code::kInvalidArgument, "The new size must be a multiple of 512");
  }
  if (!snapshots_.empty() && header_.version < 3) {
    return Fail(Code::kUnimplemented, "Can't resize a v2 image which has snapshots");
  }
  TRY(ToStatus(PrepareToChange(), "write the header"));
  TRY(PrepareBitmapsToResize());
  const uint64_t before = size_, needed = header_.L1EntriesFor(size_bytes);
  if (needed > kMaxL1Bytes / 8)
    return Fail(Code::kOutOfRange, "The disk would be too large for this cluster size");
  if (size_bytes < before) {
    if (preallocation != Preallocation::kOff) {
      return Fail(Code::kInvalidArgument, "Preallocation can't be used for shrinking an image");
    }
    // What is cut off must not come back when the disk grows again.
    const uint64_t cluster_end = AlignUp(size_bytes, header_.cluster_bytes());
    if (const int error = ZeroPart(size_bytes, std::min(cluster_end, before) - size_bytes); error != 0) {
      return FailErrno(error, "Failed to discard cropped clusters");
    }
    if (cluster_end < before) {
      const int error = ForgetClusters(cluster_end, AlignUp(before, header_.cluster_bytes()) - cluster_end);
      if (error != 0) return FailErrno(error, "Failed to discard cropped clusters");
    }
    if (const int error = FlushMetadata(); error != 0) return FailErrno(error, "Failed to shrink the image");
  } else if (needed > header_.l1_entries) {
    TRY(GrowL1(needed));
  }
  {
    MutexLock lock(mutex_);
    Header changed = header_;
    changed.size_bytes = size_bytes;
    TRY(WriteHeader(changed));
    size_ = size_bytes;
  }
  if (size_bytes <= before) return Ok();
  // What the backing image, or the rest of a cluster, has there must not show.
  const uint64_t backing_end = backing() == nullptr ? 0 : backing()->size_bytes();
  const uint64_t zero_end =
      std::min(size_bytes, std::max(backing_end, AlignUp(before, header_.cluster_bytes())));
  if (zero_end > before) {
    const int error = ZeroRange({.op = Op::kWriteZeroes, .offset = before, .length = zero_end - before});
    if (error != 0) return FailErrno(error, "Failed to zero out the new area");
  }
  if (preallocation == Preallocation::kOff) return Ok();
  return Preallocate(before, size_bytes - before, preallocation);
}

// A longer L1 table, written in full and counted on the disk before the header points to it.
Status Qcow2Image::GrowL1(uint64_t entries) {
  const uint64_t bytes = entries * 8, cluster = header_.cluster_bytes();
  uint64_t place = 0, clusters = 0;
  int error = FlushMetadata();
  if (error == 0) {
    MutexLock lock(mutex_);
    bool fresh = false;
    error = AllocateClusters((bytes + cluster - 1) / cluster, true, &place, &clusters, &fresh);
    std::vector<uint8_t> raw(bytes);
    for (size_t i = 0; i < l1_.size(); ++i) StoreBe<uint64_t>(&raw[i * 8], l1_[i]);
    l2_.Drop(place, clusters * cluster);
    if (error == 0) error = Write(file(), place, raw);
  }
  if (error == 0) error = FlushMetadata();
  if (error != 0) return FailErrno(error, "Failed to grow the L1 table");

  MutexLock lock(mutex_);
  Header changed = header_;
  changed.l1_offset = place;
  changed.l1_entries = static_cast<uint32_t>(entries);
  const Range old{header_.l1_offset, uint64_t{header_.l1_entries} * 8};
  TRY(WriteHeader(changed));
  metadata_.Remove(old.start, old.size);
  metadata_.Add(place, bytes, Section::kL1);
  released_.push_back(old);
  l1_.resize(entries);
  return Ok();
}

int Qcow2Image::FillPreallocated(uint64_t guest, const Range& host, Preallocation preallocation) {
  if (preallocation == Preallocation::kFalloc && !encryption_)
    return WriteZeroes(data_file(), host.start, host.size, false);
  if (preallocation != Preallocation::kFull && !encryption_) return 0;
  static std::vector<uint8_t> zeroes(1 << 20);
  for (uint64_t at = host.start; at < host.end();) {
    const uint64_t step = std::min<uint64_t>(zeroes.size(), host.end() - at);
    const iovec piece{zeroes.data(), step};
    const int error = WriteStored(guest + (at - host.start), at, step, {&piece, 1});
    if (error != 0) return error;
    at += step;
  }
  return 0;
}

// Links new clusters to everything in the range that has none. With kMetadata nothing is written to them, and
// the file is made long enough to have them; but where content is encrypted, zeroes have to be written.
Status Qcow2Image::Preallocate(uint64_t offset, uint64_t length, Preallocation preallocation) {
  uint64_t file_end = 0;
  for (uint64_t at = offset; at < offset + length;) {
    if (const int error = RelieveCaches(); error != 0)
      return FailErrno(error, "Could not preallocate clusters");
    WritePlan plan;
    if (const int error = PlanWrite(at, offset + length - at, &plan); error != 0) {
      return FailErrno(error, "Could not preallocate clusters");
    }
    if (plan.in_place) {
      gate_.Exit(plan.ticket);
    } else {
      const Range host{plan.allocation->host, plan.allocation->guest.size};
      file_end = std::max(file_end, host.end());
      const int filled = FillPreallocated(plan.allocation->guest.start, host, preallocation);
      if (const int error = FinishAllocation(plan.allocation, at, plan.length, filled); error != 0) {
        return FailErrno(error, "Could not preallocate clusters");
      }
    }
    at += plan.length;
  }
  if (file_end > data_file()->size_bytes()) TRY(data_file()->Resize(file_end, Preallocation::kOff));
  return Ok();
}

}  // namespace berth::block::qcow2
