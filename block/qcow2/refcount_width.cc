// Refcounts of another width: a new table and new blocks behind everything that is counted, then the header's
// reference to them, then the old ones are given back.
#include <algorithm>

#include "block/qcow2/image.h"

namespace berth::block::qcow2 {

Status Qcow2Image::CheckRefcountsFit(uint32_t order) {
  const uint64_t most = ~uint64_t{0} >> (64 - (uint64_t{1} << order));
  MutexLock lock(mutex_);
  for (size_t block = 0; block < refcounts_.table().size(); ++block) {
    if (refcounts_.table()[block] == 0) continue;
    for (uint64_t i = 0; i < header_.refcounts_per_block(); ++i) {
      const uint64_t cluster = block * header_.refcounts_per_block() + i;
      uint64_t count = 0;
      TRY(ToStatus(refcounts_.Get(cluster, &count), "read the refcounts"));
      if (count > most) {
        return Fail(
            Code::kInvalidArgument,
            "Cannot decrease refcount entry width to {} bits: Cluster at offset {:#x} has a refcount of {}",
            1 << order, cluster << header_.cluster_bits, count);
      }
    }
  }
  return Ok();
}

Status Qcow2Image::ChangeRefcountOrder(uint32_t order) {
  TRY(ToStatus(Settle(), "write what was pending"));
  TRY(CheckRefcountsFit(order));
  MutexLock lock(mutex_);
  const uint64_t cluster = header_.cluster_bytes(), covered = refcounts_.covered_clusters();
  Header changed = header_;
  changed.refcount_order = order;
  const uint64_t per_block = changed.refcounts_per_block();

  // Whether any cluster that the new block counts is counted now.
  uint64_t counted_end = AlignUp(file()->size_bytes(), cluster) / cluster;
  std::vector<bool> used;
  for (size_t block = 0; block < refcounts_.table().size(); ++block) {
    if (refcounts_.table()[block] == 0) continue;
    for (uint64_t i = 0; i < header_.refcounts_per_block(); ++i) {
      const uint64_t at = block * header_.refcounts_per_block() + i;
      uint64_t count = 0;
      TRY(ToStatus(refcounts_.Get(at, &count), "read the refcounts"));
      if (count == 0) continue;
      counted_end = std::max(counted_end, at + 1);
      if (used.size() <= at / per_block) used.resize(at / per_block + 1);
      used[at / per_block] = true;
    }
  }
  const uint64_t start = counted_end;
  uint64_t blocks = 0, table_clusters = 1;
  for (uint64_t size = UINT64_MAX; blocks + table_clusters != size;) {
    size = blocks + table_clusters;
    const uint64_t last = (start + size - 1) / per_block;
    if (used.size() <= last) used.resize(last + 1);
    for (uint64_t block = start / per_block; block <= last; ++block) used[block] = true;
    blocks = static_cast<uint64_t>(std::count(used.begin(), used.end(), true));
    table_clusters = std::max(table_clusters, (used.size() * 8 + cluster - 1) / cluster);
  }
  if (table_clusters * cluster > kMaxRefcountTableBytes) {
    return Fail(Code::kOutOfRange, "the refcount table would be too large");
  }

  std::vector<uint8_t> table(table_clusters * cluster), raw(cluster);
  uint64_t place = start;
  for (uint64_t block = 0; block < used.size(); ++block) {
    if (!used[block]) continue;
    std::fill(raw.begin(), raw.end(), 0);
    for (uint64_t i = 0; i < per_block; ++i) {
      const uint64_t at = block * per_block + i;
      uint64_t count = 0;
      if (at < covered) TRY(ToStatus(refcounts_.Get(at, &count), "read the refcounts"));
      if (at >= start && at < start + blocks + table_clusters) count = 1;
      if (count != 0) StoreRefcount(raw.data(), order, i, count);
    }
    TRY(ToStatus(Write(file(), place * cluster, raw), "write a refcount block"));
    StoreBe<uint64_t>(&table[block * 8], place * cluster);
    ++place;
  }
  changed.refcount_table_offset = place * cluster;
  changed.refcount_table_clusters = static_cast<uint32_t>(table_clusters);
  TRY(ToStatus(Write(file(), changed.refcount_table_offset, table), "write the refcount table"));
  TRY(ToStatus(Flush(file()), "write the refcount table"));

  std::vector<Range> old{{header_.refcount_table_offset, header_.refcount_table_clusters * cluster}};
  for (const uint64_t block : refcounts_.table()) {
    if (block != 0) old.push_back({block, cluster});
  }
  TRY(WriteHeader(changed));
  for (const Range& range : old) metadata_.Remove(range.start, range.size);
  TRY(refcounts_.LoadTable());
  released_.insert(released_.end(), old.begin(), old.end());
  return Ok();
}

}  // namespace berth::block::qcow2
