// Zeroes and discards.
#include <algorithm>
#include <cerrno>
#include <vector>

#include "block/qcow2/image.h"

namespace berth::block::qcow2 {

// Calls `change(kind, entry, &new_entry, &release)` for each whole cluster, which says whether the entry is
// to be replaced. Clusters whose table does not exist get one only if the unallocated entry is to be
// replaced.
template <typename Change>
int Qcow2Image::ForClusters(uint64_t offset, uint64_t length, Change change) {
  const uint64_t end = offset + length;
  while (offset < end) {
    if (const int error = RelieveCaches(); error != 0) return error;
    MutexLock lock(mutex_);
    uint64_t now = std::min(end - offset, l2_coverage() - offset % l2_coverage());
    WaitForTurn(&lock, offset, &now);
    const uint64_t stop = offset + AlignDown(now, header_.cluster_bytes());
    SlicePlace place;
    if (const int error = PlaceOf(offset, &place); error != 0) return error;
    L2Entry replacement;
    bool release = false;
    if (place.slice_offset == 0 && !change(Kind::kUnallocated, L2Entry{}, &replacement, &release)) {
      offset = stop;
      continue;
    }
    if (const int error = EnsureTable(offset); error != 0) return error;
    const uint64_t per_slice = l2_.slice_bytes() / header_.l2_entry_bytes();
    do {
      if (const int error = PlaceOf(offset, &place); error != 0) return error;
      uint8_t* slice = nullptr;
      if (const int error = l2_.Load(place.slice_offset, &slice); error != 0) return error;
      const L2Entry entry = LoadEntry(header_, slice, place.index);
      const Kind kind = KindOf(header_, entry, 0);
      if (kind == Kind::kInvalid) return EIO;
      release = false;
      if (change(kind, entry, &replacement, &release)) {
        if (const int error = StoreAndRelease(place, replacement, release); error != 0) return error;
      }
      offset += header_.cluster_bytes();
    } while (offset < stop && place.index + 1 < per_slice);  // The caches are looked after once a slice.
  }
  return 0;
}

// Whole subclusters of one cluster read as zeroes from now on; a place that the cluster has it keeps.
// ENOTSUP where they cannot be told apart.
int Qcow2Image::ZeroSubclusters(uint64_t offset, uint64_t length) {
  MutexLock lock(mutex_);
  uint64_t turn = length;
  WaitForTurn(&lock, offset, &turn);
  if (const int error = EnsureTable(offset); error != 0) return error;
  SlicePlace place;
  uint8_t* slice = nullptr;
  if (const int error = PlaceOf(offset, &place); error != 0) return error;
  if (const int error = l2_.Load(place.slice_offset, &slice); error != 0) return error;
  L2Entry entry = LoadEntry(header_, slice, place.index);
  if (entry.compressed()) return ENOTSUP;
  const uint64_t first = (offset - ClusterStart(offset)) / unit_bytes(), count = length / unit_bytes();
  const uint64_t part = (~uint64_t{0} >> (64 - count)) << first;
  if (KindOf(header_, entry, static_cast<unsigned>(first)) == Kind::kInvalid) return EIO;
  entry.bitmap = (entry.bitmap & ~part) | part << kSubclusters;
  return StoreAndRelease(place, entry, false);
}

// What does not fill its cluster.
int Qcow2Image::ZeroPart(uint64_t offset, uint64_t length) {
  const uint64_t unit = unit_bytes(), end = offset + length;
  const uint64_t start = AlignUp(offset, unit),
                 stop = end == size_ ? AlignUp(end, unit) : AlignDown(end, unit);
  if (!header_.extended_l2() || start >= stop) return ZeroBytes(offset, length);
  const int error = ZeroSubclusters(start, stop - start);
  if (error == ENOTSUP) return ZeroBytes(offset, length);
  if (error != 0) return error;
  if (const int head = ZeroBytes(offset, start - offset); head != 0) return head;
  return end > stop ? ZeroBytes(stop, end - stop) : 0;
}

// What does not fill its cluster, or subcluster, is written as data, unless it reads as zeroes already.
int Qcow2Image::ZeroBytes(uint64_t offset, uint64_t length) {
  if (length == 0) return 0;
  {
    MutexLock lock(mutex_);
    uint64_t turn = length;
    WaitForTurn(&lock, offset, &turn);
    Mapping mapping;
    if (const int error = Lookup(offset, length, &mapping); error != 0) return error;
    const bool zero = mapping.kind == Kind::kZeroPlain || mapping.kind == Kind::kZeroKept ||
                      (mapping.kind == Kind::kUnallocated && BackingIsZero(offset));
    if (zero && mapping.length == length) return 0;
  }
  std::vector<uint8_t> zeroes(length);
  const iovec piece{zeroes.data(), zeroes.size()};
  return WriteData(offset, length, {&piece, 1});
}

int Qcow2Image::ZeroRange(const Request& request) {
  const uint64_t cluster = header_.cluster_bytes(), end = request.offset + request.length;
  // The end of the disk ends its last cluster.
  const uint64_t whole_end = end == size_ ? AlignUp(end, cluster) : AlignDown(end, cluster);
  const uint64_t whole_start = AlignUp(request.offset, cluster);
  if (header_.version < 3 || whole_start >= whole_end) {
    for (uint64_t at = request.offset; at < end;) {
      const uint64_t step = std::min(end, ClusterStart(at) + cluster) - at;
      if (const int error = RelieveCaches(); error != 0) return error;
      if (const int error = ZeroPart(at, step); error != 0) return error;
      at += step;
    }
  } else {
    if (const int error = ZeroPart(request.offset, whole_start - request.offset); error != 0) return error;
    const int error =
        ForClusters(whole_start, whole_end - whole_start,
                    [&](Kind kind, const L2Entry& entry, L2Entry* replacement, bool* release) {
                      const bool keep = HasPlace(kind) && !request.may_unmap;
                      *release = !keep;
                      *replacement = keep ? entry : L2Entry{};
                      if (header_.extended_l2()) {
                        replacement->bitmap = AllOnes(4) << kSubclusters;
                      } else {
                        replacement->value |= kZero;
                      }
                      return replacement->value != entry.value || replacement->bitmap != entry.bitmap;
                    });
    if (error != 0) return error;
    if (end > whole_end) {
      if (const int tail = ZeroPart(whole_end, end - whole_end); tail != 0) return tail;
    }
  }
  return request.fua ? FlushMetadata() : 0;
}

// Whole clusters lose their place. They read as zeroes afterwards, never as what the backing image has: so
// with version 2, which cannot say that, nothing happens over one.
int Qcow2Image::DiscardRange(uint64_t offset, uint64_t length) {
  const bool backed = !header_.backing_file.empty();
  if (header_.version < 3 && backed) return 0;
  const uint64_t cluster = header_.cluster_bytes(), end = offset + length;
  const uint64_t start = AlignUp(offset, cluster);
  const uint64_t stop = end == size_ ? AlignUp(end, cluster) : AlignDown(end, cluster);
  if (start >= stop) return 0;
  return ForClusters(start, stop - start,
                     [&](Kind kind, const L2Entry& entry, L2Entry* replacement, bool* release) {
                       if (kind == Kind::kUnallocated && entry.bitmap == 0 && !backed) return false;
                       *release = true;
                       *replacement = {};
                       if (header_.extended_l2()) {
                         replacement->bitmap = AllOnes(4) << kSubclusters;
                       } else if (header_.version >= 3) {
                         replacement->value = kZero;
                       }
                       return replacement->value != entry.value || replacement->bitmap != entry.bitmap;
                     });
}

// Whole clusters become unallocated: the backing image shows again.
int Qcow2Image::ForgetClusters(uint64_t offset, uint64_t length) {
  return ForClusters(offset, length, [](Kind, const L2Entry& entry, L2Entry* replacement, bool* release) {
    *release = true;
    *replacement = {};
    return entry.value != 0 || entry.bitmap != 0;
  });
}

}  // namespace berth::block::qcow2
