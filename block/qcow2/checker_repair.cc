// Repairs that are more than a count: the copied flags, and refcount structures from scratch.
#include <algorithm>
#include <cerrno>

#include "block/qcow2/checker.h"

namespace berth::block::qcow2 {

int Checker::CheckCopied() {
  const char* verb = repair_.corruptions ? "Repairing" : "ERROR";
  std::vector<uint64_t> tables;
  {
    MutexLock lock(image_.mutex_);
    for (size_t i = 0; i < image_.l1_.size(); ++i) {
      uint64_t& entry = image_.l1_[i];
      const uint64_t table = entry & kOffsetMask;
      if (table == 0 || !IsAligned(table, header_.cluster_bytes()) || table >= file_bytes_) continue;
      uint64_t count = 0;
      if (image_.refcounts_.Get(table >> header_.cluster_bits, &count) != 0) continue;
      if ((count == 1) != ((entry & kCopied) != 0)) {
        Say("{} OFLAG_COPIED L2 cluster: l1_index={} l1_entry={:x} refcount={}", verb, i, entry, count);
        if (repair_.corruptions) {
          entry = count == 1 ? entry | kCopied : entry & ~kCopied;
          image_.dirty_l1_sectors_.insert(i * 8 / kSectorBytes);
          ++report_.corruptions_fixed;
        } else {
          ++report_.corruptions;
        }
      }
      tables.push_back(table);
    }
  }
  // However often a table is referred to, it is looked at once.
  std::sort(tables.begin(), tables.end());
  tables.erase(std::unique(tables.begin(), tables.end()), tables.end());
  for (const uint64_t table : tables) {
    if (const int error = CheckCopiedIn(table); error != 0) return error;
  }
  return 0;
}

int Checker::CheckCopiedIn(uint64_t table) {
  const char* verb = repair_.corruptions ? "Repairing" : "ERROR";
  std::vector<uint8_t> raw(header_.cluster_bytes());
  if (Read(image_.file(), table, raw) != 0) return 0;  // Reported already.
  MutexLock lock(image_.mutex_);
  bool changed = false;
  for (uint64_t i = 0; i < header_.l2_entries(); ++i) {
    L2Entry entry = LoadEntry(header_, raw.data(), i);
    const uint64_t host = entry.host_offset();
    if (entry.compressed() || host == 0 || !IsAligned(host, header_.cluster_bytes())) continue;
    uint64_t count = 1;  // Of an external data file, where nothing is counted.
    if (!header_.has_data_file() && image_.refcounts_.Get(host >> header_.cluster_bits, &count) != 0)
      continue;
    if ((count == 1) == entry.copied()) continue;
    Say("{} OFLAG_COPIED data cluster: l2_entry={:x} refcount={}", verb, entry.value, count);
    if (!repair_.corruptions) {
      ++report_.corruptions;
      continue;
    }
    entry.value = count == 1 ? entry.value | kCopied : entry.value & ~kCopied;
    StoreEntry(header_, raw.data(), i, entry);
    ++report_.corruptions_fixed;
    changed = true;
  }
  if (!changed) return 0;
  if (image_.metadata_.Conflict(table, raw.size(), Section::kL2) != Section::kNone) return EIO;
  image_.l2_.Drop(table, raw.size());
  return Write(image_.file(), table, raw);
}

// A new refcount table with new blocks, behind everything that is used; the old ones are referred to no more.
int Checker::Rebuild() {
  const uint64_t cluster = header_.cluster_bytes(), per_block = header_.refcounts_per_block();
  // Without the old table and blocks.
  references_ = {};
  const CheckReport before = report_;
  int error = CountUses(false);
  report_ = before;
  if (error != 0) return error;

  const uint64_t start = AlignUp(file_bytes_, cluster) / cluster;
  if (start / per_block * 8 > kMaxRefcountTableBytes) return EFBIG;
  std::vector<uint64_t> blocks;  // Which there are to be.
  uint64_t table_clusters = 1;
  for (size_t count = SIZE_MAX; blocks.size() + table_clusters != count;) {
    count = blocks.size() + table_clusters;
    blocks.clear();
    const uint64_t end = start + count;
    for (uint64_t block = 0; block * per_block < end; ++block) {
      const uint64_t next = (block + 1) * per_block;
      const bool used = next > start || references_.NextPossible(block * per_block) < next;
      if (used) blocks.push_back(block);
    }
    table_clusters = std::max(table_clusters, ((blocks.back() + 1) * 8 + cluster - 1) / cluster);
  }
  if (table_clusters * cluster > kMaxRefcountTableBytes) return EFBIG;
  for (uint64_t i = 0; i < blocks.size() + table_clusters; ++i) {
    if (!references_.Add(start + i)) return ENOMEM;
  }
  std::vector<uint8_t> table(table_clusters * cluster), raw(cluster);
  for (size_t i = 0; i < blocks.size(); ++i) {
    std::fill(raw.begin(), raw.end(), 0);
    for (uint64_t k = 0; k < per_block; ++k) {
      const uint64_t count = references_.Get(blocks[i] * per_block + k);
      if (count > header_.refcount_max()) return ERANGE;
      if (count != 0) StoreRefcount(raw.data(), header_.refcount_order, k, count);
    }
    const uint64_t place = (start + i) * cluster;
    StoreBe<uint64_t>(&table[blocks[i] * 8], place);
    if (error = Write(image_.file(), place, raw); error != 0) return error;
  }
  Header changed = header_;
  changed.refcount_table_offset = (start + blocks.size()) * cluster;
  changed.refcount_table_clusters = static_cast<uint32_t>(table_clusters);
  if (error = Write(image_.file(), changed.refcount_table_offset, table); error != 0) return error;
  if (error = Flush(image_.file()); error != 0) return error;
  MutexLock lock(image_.mutex_);
  for (const uint64_t old : image_.refcounts_.table()) {
    if (old != 0) image_.metadata_.Remove(old, cluster);
  }
  image_.metadata_.Remove(header_.refcount_table_offset, uint64_t{header_.refcount_table_clusters} * cluster);
  if (!image_.WriteHeader(changed) || !image_.refcounts_.LoadTable()) return EIO;
  file_bytes_ = image_.file()->size_bytes();
  return 0;
}

}  // namespace berth::block::qcow2
