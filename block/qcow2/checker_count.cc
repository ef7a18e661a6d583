// What an image refers to, counted.
#include <cerrno>

#include "block/qcow2/checker.h"

namespace berth::block::qcow2 {

int Checker::Count(uint64_t offset, uint64_t length) {
  if (length == 0) return 0;
  if (offset >= kMaxHostOffset || length > kMaxHostOffset ||
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
  const bool placed = host != 0 || (header_.has_data_file() && entry.copied());
  if (!placed) return 0;
  if (!IsAligned(host, header_.cluster_bytes())) {
    Corrupt("ERROR offset={:x}: Cluster is not properly aligned; L2 entry corrupted.", host);
    return 0;
  }
  if (active) {
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

}  // namespace berth::block::qcow2
