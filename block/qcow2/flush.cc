// Bringing metadata to the disk, in the order that docs/block.md argues for.
#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "block/qcow2/image.h"

namespace berth::block::qcow2 {
namespace {

constexpr size_t kMaxDirtySlices = 1024;
constexpr size_t kMaxReleased = 16384;
constexpr size_t kSlicesAtOnce = 256;

}  // namespace

Qcow2Image::~Qcow2Image() {
  if (const Status finished = WriteBack(); !finished) {
    LOG_WARNING("{}: closing: {}", filename(), finished.error().message());
  }
}

// Without its bitmaps, an image is still as sound as it can be.
Status Qcow2Image::WriteBack() {
  if (limits_.read_only) return Ok();
  const Status stored = StoreBitmaps();
  const int error = Settle();
  if (!stored) return stored;
  return ToStatus(error, "write metadata");
}

int Qcow2Image::Settle() {
  // Uncounting makes refcounts dirty once more.
  for (int i = 0; i < 2; ++i) {
    if (const int error = FlushMetadata(); error != 0) return error;
  }
  return 0;
}

// Features that are only right while every writer knows them are dropped before the first change.
int Qcow2Image::PrepareToChange() {
  {
    MutexLock lock(mutex_);
    if (!prepared_) {
      // Bitmaps that are kept right stay so.
      const uint64_t bitmaps = has_bitmaps_ ? kBitmapsConsistent : 0;
      const uint64_t kept = header_.autoclear & (kRawExternalData | bitmaps);
      if (kept != header_.autoclear) {
        Header changed = header_;
        changed.autoclear = kept;
        if (!WriteHeaderBytes(changed)) return EIO;
        header_.autoclear = kept;  // This field alone: others are being read.
      }
      if (!BeginRecording()) return EIO;
      prepared_ = true;
    }
  }
  return RelieveCaches();
}

int Qcow2Image::RelieveCaches() {
  {
    MutexLock lock(mutex_);
    if (l2_.dirty_slices() + refcounts_.blocks().dirty_slices() < kMaxDirtySlices &&
        released_.size() < kMaxReleased) {
      return 0;
    }
  }
  return FlushMetadata();
}

Status Qcow2Image::WriteHeader(const Header& header) {
  TRY(WriteHeaderBytes(header));
  header_ = header;
  return Ok();
}

Status Qcow2Image::WriteHeaderBytes(const Header& header) {
  const std::vector<uint8_t> encoded = TRY(EncodeHeader(header));
  if (const int error = Write(file(), 0, encoded); error != 0) return FailErrno(error, "write the header");
  if (const int error = Flush(file()); error != 0) return FailErrno(error, "write the header");
  return Ok();
}

std::vector<DirtySlice> Qcow2Image::TakeDirtyL1() {
  std::vector<DirtySlice> taken;
  for (const uint64_t sector : dirty_l1_sectors_) {
    DirtySlice& slice = taken.emplace_back();
    const uint64_t first = sector * kSectorBytes / 8;
    slice.offset = header_.l1_offset + sector * kSectorBytes;
    for (uint64_t i = first; i < std::min<uint64_t>(first + kSectorBytes / 8, l1_.size()); ++i) {
      slice.bytes.resize(slice.bytes.size() + 8);
      StoreBe<uint64_t>(&slice.bytes[(i - first) * 8], l1_[i]);
    }
  }
  dirty_l1_sectors_.clear();
  return taken;
}

int Qcow2Image::WriteSlices(const std::vector<DirtySlice>& slices, Section section) {
  std::vector<iovec> pieces;
  for (size_t i = 0; i < slices.size();) {
    pieces.clear();
    const uint64_t start = slices[i].offset;
    uint64_t end = start;
    for (; i < slices.size() && slices[i].offset == end && pieces.size() < kSlicesAtOnce; ++i) {
      pieces.push_back({const_cast<uint8_t*>(slices[i].bytes.data()), slices[i].bytes.size()});
      end += slices[i].bytes.size();
    }
    {
      MutexLock lock(mutex_);
      const Section there = metadata_.Conflict(start, end - start, section);
      if (there != Section::kNone) {
        LOG_WARNING("{}: {} at offset {} would overwrite the {}: the image is corrupt", filename(),
                    SectionName(section), start, SectionName(there));
        return EIO;
      }
    }
    const int error =
        file()->Perform({.op = Op::kWrite, .offset = start, .length = end - start, .pieces = pieces});
    if (error != 0) return error;
  }
  return 0;
}

int Qcow2Image::FlushMetadata() {
  MutexLock flushing(flush_mutex_);
  std::vector<DirtySlice> table, blocks, l1, l2;
  std::vector<Range> released;
  {
    MutexLock lock(mutex_);
    table = refcounts_.TakeDirtyTable();
    blocks = refcounts_.blocks().TakeDirty();
    l1 = TakeDirtyL1();
    l2 = l2_.TakeDirty();
    released.swap(released_);
  }
  int error = WriteSlices(blocks, Section::kRefcountBlock);
  if (error == 0 && !table.empty()) {
    error = Flush(file());
    if (error == 0) error = WriteSlices(table, Section::kRefcountTable);
  }
  if (error == 0 && data_file_) error = Flush(data_file_.get());
  if (error == 0) error = Flush(file());
  if (error == 0 && !(l2.empty() && l1.empty())) {
    error = WriteSlices(l2, Section::kL2);
    if (error == 0) error = WriteSlices(l1, Section::kL1);
    if (error == 0) error = Flush(file());
  }
  {
    MutexLock lock(mutex_);
    refcounts_.blocks().Written(blocks, error == 0);
    l2_.Written(l2, error == 0);
    if (error != 0) {
      refcounts_.KeepDirtyTable(table);
      for (const DirtySlice& sector : l1)
        dirty_l1_sectors_.insert((sector.offset - header_.l1_offset) / kSectorBytes);
      released_.insert(released_.end(), released.begin(), released.end());
    }
  }
  if (error != 0 || released.empty()) return error;
  return Uncount(released);
}

// Nothing on the disk refers to these clusters any more; whoever looked them up before may still be using
// them.
int Qcow2Image::Uncount(const std::vector<Range>& released) {
  gate_.WaitForThoseInside();
  MutexLock lock(mutex_);
  for (const Range& range : released) {
    if (range.size == 0) continue;
    const uint64_t cluster = header_.cluster_bytes();
    for (uint64_t at = ClusterStart(range.start); at < range.end(); at += cluster) {
      uint64_t count = 0;
      if (const int error = refcounts_.Get(at >> header_.cluster_bits, &count); error != 0) return error;
      if (count == 1) {
        if (flags_.discard_unmap) (void)Discard(file(), at, cluster);  // A hint.
        metadata_.Remove(at, cluster);
        if (Range{at, cluster}.Overlaps(compressed_room_)) compressed_room_ = {};
      }
      if (const int error = refcounts_.Change(at, 1, -1); error != 0) return error;
    }
  }
  return 0;
}

}  // namespace berth::block::qcow2
