#include "block/qcow2/checker.h"

#include <algorithm>
#include <cerrno>

namespace berth::block::qcow2 {
namespace {

const char* Verb(bool repairing) { return repairing ? "Repairing" : "ERROR"; }

}  // namespace

int Checker::Count(uint64_t offset, uint64_t length) {
  if (length == 0) return 0;
  if (offset >= kMaxHostOffset ||
      (offset + length > file_bytes_ && offset + length - file_bytes_ >= header_.cluster_bytes())) {
    Corrupt(
        "ERROR: counting reference for region exceeding the end of the file by one cluster or more: offset "
        "0x{:x} size 0x{:x}",
        offset, length);
    return 0;
  }
  for (uint64_t cluster = offset >> header_.cluster_bits;
       cluster <= (offset + length - 1) >> header_.cluster_bits; ++cluster) {
    if (!references_.Add(cluster)) return ENOMEM;
  }
  return 0;
}

int Checker::CountL1(uint64_t offset, uint64_t entries, bool active) {
  if (const int error = Count(offset, entries * 8); error != 0) return error;
  std::vector<uint8_t> raw(entries * 8);
  if (const int error = Read(image_.file(), offset, raw); error != 0) {
    ++report_.errors;
    Say("ERROR: I/O error in check_refcounts_l1");
    return 0;
  }
  for (uint64_t i = 0; i < entries; ++i) {
    const auto entry = LoadBe<uint64_t>(&raw[i * 8]);
    if (entry == 0) continue;
    if ((entry & kL1Reserved) != 0) Corrupt("ERROR found L1 entry with reserved bits set: {:x}", entry);
    const uint64_t table = entry & kOffsetMask;
    if (table == 0) continue;
    if (const int error = Count(table, header_.cluster_bytes()); error != 0) return error;
    if (!IsAligned(table, header_.cluster_bytes())) {
      Corrupt("ERROR l2_offset={:x}: Table is not cluster aligned; L1 entry corrupted", table);
    }
    if (table >= file_bytes_) continue;  // Count has said so.
    // Each snapshot may share a table, once. What is shared more often would be walked without end.
    if (const uint64_t count = references_.Get(table >> header_.cluster_bits);
        count > 1 + uint64_t{header_.snapshot_count}) {
      Corrupt("ERROR L2 table at offset {:x} is referred to {} times", table, count);
      continue;
    }
    if (const int error = CountL2(table, active); error != 0) return error;
  }
  return 0;
}

int Checker::CountL2(uint64_t table, bool active) {
  std::vector<uint8_t> raw(header_.cluster_bytes());
  if (const int error = Read(image_.file(), table, raw); error != 0) {
    ++report_.errors;
    Say("ERROR: I/O error in check_refcounts_l2");
    return 0;
  }
  uint64_t next_contiguous = 0;
  for (uint64_t i = 0; i < header_.l2_entries(); ++i) {
    const L2Entry entry = LoadEntry(header_, raw.data(), i);
    if (entry.value == 0 && entry.bitmap == 0) continue;
    if (const int error = CountEntry(entry, active, &next_contiguous); error != 0) return error;
  }
  return 0;
}

int Checker::CountEntry(const L2Entry& entry, bool active, uint64_t* next_contiguous) {
  if (entry.compressed()) {
    if (entry.copied()) {
      Corrupt("ERROR: coffset=0x{:x}: copied flag must never be set for compressed clusters",
              CompressedPlaceOf(header_, entry).offset);
    }
    if (header_.has_data_file()) {
      Corrupt("ERROR compressed cluster with data file, entry=0x{:x}", entry.value);
      return 0;
    }
    const CompressedPlace place = CompressedPlaceOf(header_, entry);
    if (active) {
      ++report_.allocated_clusters;
      ++report_.compressed_clusters;
      // Compressed clusters lie anywhere: they count as fragmented.
      ++report_.fragmented_clusters;
    }
    return Count(place.offset, place.bytes);
  }
  if ((entry.value & kL2Reserved) != 0)
    Corrupt("ERROR found l2 entry with reserved bits set: {:x}", entry.value);
  const uint64_t host = entry.host_offset();
  const Kind kind = KindOf(header_, {entry.value & ~kL2Reserved, entry.bitmap}, 0);
  const bool placed = host != 0 || (header_.has_data_file() && entry.copied());
  if (!placed) return 0;
  if (!IsAligned(host, header_.cluster_bytes())) {
    Corrupt("ERROR offset={:x}: Cluster is not properly aligned; L2 entry corrupted.", host);
    return 0;
  }
  if (active && (header_.extended_l2() || kind == Kind::kNormal)) {
    ++report_.allocated_clusters;
    if (*next_contiguous != 0 && host != *next_contiguous) ++report_.fragmented_clusters;
    *next_contiguous = host + header_.cluster_bytes();
  }
  return header_.has_data_file() ? 0 : Count(host, header_.cluster_bytes());
}

// Bitmaps: their directory, each one's table, and what the tables refer to.
int Checker::CountBitmaps(std::span<const uint8_t> extension) {
  constexpr uint64_t kEntryBytes = 24;
  if ((header_.autoclear & kBitmapsConsistent) == 0 || extension.size() < kEntryBytes) return 0;
  const uint64_t count = LoadBe<uint32_t>(&extension[0]), bytes = LoadBe<uint64_t>(&extension[8]);
  const uint64_t offset = LoadBe<uint64_t>(&extension[16]);
  if (count > kMaxBitmaps || bytes > kMaxBitmapDirectoryBytes) {
    Corrupt("ERROR the bitmap directory is too large");
    return 0;
  }
  if (const int error = Count(offset, bytes); error != 0) return error;
  std::vector<uint8_t> directory(bytes);
  if (offset >= kMaxHostOffset || Read(image_.file(), offset, directory) != 0) return 0;
  uint64_t budget = kMaxBitmapTableBytes;
  for (uint64_t at = 0, i = 0; i < count && at + kEntryBytes <= bytes; ++i) {
    const uint8_t* entry = &directory[at];
    const uint64_t table = LoadBe<uint64_t>(entry), table_bytes = uint64_t{LoadBe<uint32_t>(entry + 8)} * 8;
    at += AlignUp(kEntryBytes + LoadBe<uint16_t>(entry + 18) + LoadBe<uint32_t>(entry + 20), 8);
    if (table_bytes > budget || table >= kMaxHostOffset) {
      Corrupt("ERROR the table of bitmap {} is too large", i);
      return 0;
    }
    budget -= table_bytes;
    if (const int error = Count(table, table_bytes); error != 0) return error;
    std::vector<uint8_t> raw(table_bytes);
    if (Read(image_.file(), table, raw) != 0) continue;
    for (uint64_t k = 0; k < table_bytes; k += 8) {
      const uint64_t data = LoadBe<uint64_t>(&raw[k]) & kOffsetMask;
      if (data == 0) continue;
      if (const int error = Count(data, header_.cluster_bytes()); error != 0) return error;
    }
  }
  return 0;
}

// Everything but the refcounts themselves.
int Checker::CountUses(bool active) {
  int error = Count(0, header_.cluster_bytes());
  if (error == 0) error = CountL1(header_.l1_offset, header_.l1_entries, active);
  for (const SnapshotEntry& snapshot : image_.snapshots_) {
    if (error == 0) error = CountL1(snapshot.l1_offset, snapshot.l1_entries, false);
  }
  if (error == 0) error = Count(header_.snapshots_offset, SnapshotTableBytes(image_.snapshots_));
  for (const Extension& extension : header_.unknown_extensions) {
    if (error == 0 && extension.type == kExtensionBitmaps) error = CountBitmaps(extension.data);
    if (error == 0 && extension.type == kExtensionEncryption && extension.data.size() >= 16) {
      error = Count(LoadBe<uint64_t>(&extension.data[0]), LoadBe<uint64_t>(&extension.data[8]));
    }
  }
  return error;
}

int Checker::CountRefcountBlocks() {
  const uint64_t cluster = header_.cluster_bytes();
  MutexLock lock(image_.mutex_);
  const std::vector<uint64_t>& table = image_.refcounts_.table();
  for (size_t i = 0; i < table.size(); ++i) {
    if (table[i] == 0) continue;
    if (!IsAligned(table[i], cluster)) {
      Corrupt("ERROR refcount block {} is not cluster aligned; refcount table entry corrupted", i);
    } else if (table[i] >= AlignUp(file_bytes_, cluster)) {
      Corrupt("ERROR refcount block {} is outside image", i);
    } else {
      if (const int error = Count(table[i], cluster); error != 0) return error;
      if (const uint64_t count = references_.Get(table[i] >> header_.cluster_bits); count != 1) {
        Corrupt("ERROR refcount block {} refcount={}", i, count);
      }
    }
  }
  return 0;
}

int Checker::CountEverything() {
  const uint64_t cluster = header_.cluster_bytes();
  report_.total_clusters = (header_.size_bytes + cluster - 1) / cluster;
  int error = CountUses(true);
  if (error == 0) error = Count(header_.refcount_table_offset, header_.refcount_table_clusters * cluster);
  return error == 0 ? CountRefcountBlocks() : error;
}

int Checker::Compare(uint64_t end, bool fix, bool* rebuild) {
  MutexLock lock(image_.mutex_);
  Refcounts& refcounts = image_.refcounts_;
  const uint64_t per_block = header_.refcounts_per_block();
  for (uint64_t cluster = 0; cluster < end; ++cluster) {
    const uint64_t block = cluster / per_block;
    const bool past_table = block >= refcounts.table().size();
    if (past_table || refcounts.table()[block] == 0) {
      // No block counts these: on to what is referred to, or to the next block.
      const uint64_t next = references_.NextPossible(cluster);
      if (next > cluster) {
        cluster = (past_table ? next : std::min(next, (block + 1) * per_block)) - 1;
        continue;
      }
    }
    const uint64_t reference = references_.Get(cluster);
    uint64_t count = 0;
    if (refcounts.Get(cluster, &count) != 0) {
      ++report_.errors;
      Say("Can't get refcount for cluster {}", cluster);
      continue;
    }
    if (count != 0 || reference != 0) highest_ = cluster;
    if (count == reference) continue;
    const bool leak = count > reference;
    bool repairing = fix && (leak ? repair_.leaks : repair_.corruptions);
    if (count == 0) {
      *rebuild = true;
      repairing = false;
    }
    Say("{} cluster {} refcount={} reference={}",
        repairing ? "Repairing"
        : leak    ? "Leaked"
                  : "ERROR",
        cluster, count, reference);
    if (repairing && refcounts.Store(cluster, reference) == 0) {
      ++(leak ? report_.leaks_fixed : report_.corruptions_fixed);
      continue;
    }
    ++(leak ? report_.leaks : report_.corruptions);
  }
  return 0;
}

int Checker::CheckCopied() {
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
        Say("{} OFLAG_COPIED L2 cluster: l1_index={} l1_entry={:x} refcount={}", Verb(repair_.corruptions), i,
            entry, count);
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
  for (const uint64_t table : tables) {
    if (const int error = CheckCopiedIn(table); error != 0) return error;
  }
  return 0;
}

int Checker::CheckCopiedIn(uint64_t table) {
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
    Say("{} OFLAG_COPIED data cluster: l2_entry={:x} refcount={}", Verb(repair_.corruptions), entry.value,
        count);
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
  std::vector<uint64_t> blocks;  // Which there are to be.
  uint64_t table_clusters = 1;
  for (size_t count = SIZE_MAX; blocks.size() + table_clusters != count;) {
    count = blocks.size() + table_clusters;
    blocks.clear();
    const uint64_t end = start + count;
    for (uint64_t block = 0; block * per_block < end; ++block) {
      bool used = (block + 1) * per_block > start;
      for (uint64_t i = block * per_block; !used && i < std::min((block + 1) * per_block, references_.end());
           ++i) {
        used = references_.Get(i) != 0;
      }
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

Status Checker::Finish() {
  if (!repair_.leaks && !repair_.corruptions) return Ok();
  for (int i = 0; i < 2; ++i) {
    if (const int error = image_.FlushMetadata(); error != 0)
      return FailErrno(error, "write what was repaired");
  }
  if (!repair_.corruptions || report_.corruptions != 0 || report_.errors != 0) return Ok();
  MutexLock lock(image_.mutex_);
  Header changed = header_;
  changed.incompatible &= ~(kDirty | kCorrupt);
  return changed.incompatible == header_.incompatible ? Ok() : image_.WriteHeader(changed);
}

Result<CheckReport> Checker::Run() {
  file_bytes_ = image_.file()->size_bytes();
  const uint64_t file_clusters = (file_bytes_ + header_.cluster_bytes() - 1) / header_.cluster_bytes();
  if (const int error = CountEverything(); error != 0)
    return FailErrno(error, "count the image's references");
  const uint64_t end = std::max(file_clusters, references_.end());
  const CheckReport before = report_;
  bool rebuild = false;
  if (const int error = Compare(end, false, &rebuild); error != 0)
    return FailErrno(error, "compare refcounts");
  if (rebuild && repair_.corruptions) {
    Say("Rebuilding refcount structure");
    const CheckReport found = report_;
    if (const int error = Rebuild(); error != 0) return FailErrno(error, "rebuild the refcounts");
    report_.corruptions_fixed += found.corruptions - before.corruptions;
    report_.leaks_fixed += found.leaks - before.leaks;
    report_.corruptions = before.corruptions;
    report_.leaks = before.leaks;
  } else if (rebuild && repair_.leaks) {
    return Fail(Code::kFailedPrecondition, "the refcount structures must be rebuilt, which -r all does");
  } else if ((repair_.leaks || repair_.corruptions) &&
             report_.leaks + report_.corruptions != before.leaks + before.corruptions) {
    // Once more, now with the intention to repair.
    report_.leaks = before.leaks;
    report_.corruptions = before.corruptions;
    if (const int error = Compare(end, true, &rebuild); error != 0)
      return FailErrno(error, "repair refcounts");
  }
  if (const int error = CheckCopied(); error != 0) return FailErrno(error, "check the copied flags");
  report_.image_end_offset = (highest_ + 1) << header_.cluster_bits;
  TRY(Finish());
  return report_;
}

Result<CheckReport> Qcow2Image::Check(const Repair& repair) {
  if (!flags_.writable) {
    MutexLock lock(mutex_);
    TRY(refcounts_.LoadTable());
  }
  if ((repair.leaks || repair.corruptions) && limits_.read_only) {
    return Fail(Code::kFailedPrecondition, "a read-only image cannot be repaired");
  }
  return Checker(this, repair).Run();
}

}  // namespace berth::block::qcow2
