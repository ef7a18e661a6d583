// Everything that an L1 table refers to: counted once more or once less, and the copied flags that follow.
#include <algorithm>
#include <cerrno>
#include <unordered_set>

#include "block/qcow2/image.h"

namespace berth::block::qcow2 {

Result<std::vector<uint64_t>> Qcow2Image::ReadL1(uint64_t offset, uint64_t entries) {
  std::vector<uint8_t> raw(entries * 8);
  if (const int error = Read(file(), offset, raw); error != 0) return FailErrno(error, "read an L1 table");
  std::vector<uint64_t> l1(entries);
  for (size_t i = 0; i < entries; ++i) l1[i] = LoadBe<uint64_t>(&raw[i * 8]);
  return l1;
}

int Qcow2Image::CountUse(uint64_t offset, uint64_t length, CountChange change) {
  if (change == CountChange::kIncrease) return refcounts_.Change(offset, length, 1);
  if (change == CountChange::kDecrease) {
    released_.push_back({offset, length});
    return 0;
  }
  for (uint64_t at = ClusterStart(offset); at < offset + length; at += header_.cluster_bytes()) {
    uint64_t count = 0;
    if (const int error = refcounts_.Get(at >> header_.cluster_bits, &count); error != 0) return error;
    if (count == 0) return EIO;
    if (count >= header_.refcount_max()) return EINVAL;
  }
  return 0;
}

// Increases the counts of all that the table refers to, has them decreased after the next flush, or asks
// whether they could be increased. A table that is referred to twice, or is not in the file, is an error: an
// image that lies would be walked for ever.
int Qcow2Image::CountUses(std::span<const uint64_t> l1, CountChange change) {
  const uint64_t cluster = header_.cluster_bytes();
  std::unordered_set<uint64_t> seen;
  std::vector<uint8_t> raw(cluster);
  for (const uint64_t l1_entry : l1) {
    const uint64_t table = l1_entry & kOffsetMask;
    if (table == 0) continue;
    if (!IsAligned(table, cluster) || table >= file()->size_bytes() || !seen.insert(table).second) return EIO;
    if (const int error = RelieveCaches(); error != 0) return error;
    if (const int error = Read(file(), table, raw); error != 0) return error;
    MutexLock lock(mutex_);
    for (uint64_t i = 0; i < header_.l2_entries(); ++i) {
      const L2Entry entry = LoadEntry(header_, raw.data(), i);
      int error = 0;
      if (header_.has_data_file()) break;  // Where nothing is counted.
      if (entry.compressed()) {
        const CompressedPlace place = CompressedPlaceOf(header_, entry);
        error = CountUse(place.offset, place.bytes, change);
      } else if (entry.host_offset() != 0) {
        error =
            IsAligned(entry.host_offset(), cluster) ? CountUse(entry.host_offset(), cluster, change) : EIO;
      }
      if (error != 0) return error;
    }
    if (const int error = CountUse(table, cluster, change); error != 0) return error;
  }
  return 0;
}

int Qcow2Image::CorrectCopied() {
  size_t entries = 0;
  {
    MutexLock lock(mutex_);
    entries = l1_.size();
  }
  for (size_t i = 0; i < entries; ++i) {
    if (const int error = RelieveCaches(); error != 0) return error;
    MutexLock lock(mutex_);
    const uint64_t table = l1_[i] & kOffsetMask;
    if (table == 0) continue;
    uint64_t count = 0;
    if (const int error = refcounts_.Get(table >> header_.cluster_bits, &count); error != 0) return error;
    const uint64_t corrected = count == 1 ? table | kCopied : table;
    if (corrected != l1_[i]) {
      l1_[i] = corrected;
      dirty_l1_sectors_.insert(i * 8 / kSectorBytes);
    }
    if (const int error = CorrectCopiedIn(table); error != 0) return error;
  }
  return 0;
}

int Qcow2Image::CorrectCopiedIn(uint64_t table) {
  const uint64_t per_slice = l2_.slice_bytes() / header_.l2_entry_bytes();
  for (uint64_t at = table; at < table + header_.cluster_bytes(); at += l2_.slice_bytes()) {
    uint8_t* slice = nullptr;
    if (const int error = l2_.Load(at, &slice); error != 0) return error;
    bool changed = false;
    for (uint64_t i = 0; i < per_slice; ++i) {
      L2Entry entry = LoadEntry(header_, slice, i);
      if (entry.compressed() || entry.host_offset() == 0) continue;
      uint64_t count = 0;
      const int error = refcounts_.Get(entry.host_offset() >> header_.cluster_bits, &count);
      if (error != 0) return error;
      if ((count == 1) == entry.copied()) continue;
      entry.value ^= kCopied;
      StoreEntry(header_, slice, i, entry);
      changed = true;
    }
    if (changed) l2_.MarkDirty(at);
  }
  return 0;
}

}  // namespace berth::block::qcow2
