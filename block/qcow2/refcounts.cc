#include "block/qcow2/refcounts.h"

#include <algorithm>
#include <cerrno>

namespace berth::block::qcow2 {
namespace {

constexpr uint64_t kEntriesPerSector = kSectorBytes / 8;
// Clusters behind the file's end that count as used are passed over up to here: an image that has more lies.
constexpr uint64_t kMaxCountedBehindEnd = 1 << 22;

uint64_t SliceBytes(const Header& header) { return std::min<uint64_t>(4096, header.cluster_bytes()); }

}  // namespace

uint64_t LoadRefcount(const uint8_t* block, uint32_t order, uint64_t index) {
  switch (order) {
    case 3:
      return block[index];
    case 4:
      return LoadBe<uint16_t>(block + index * 2);
    case 5:
      return LoadBe<uint32_t>(block + index * 4);
    case 6:
      return LoadBe<uint64_t>(block + index * 8);
    default: {
      const unsigned bits = 1u << order, per_byte = 8 / bits;
      return (block[index / per_byte] >> (index % per_byte * bits)) & ((1u << bits) - 1);
    }
  }
}

void StoreRefcount(uint8_t* block, uint32_t order, uint64_t index, uint64_t count) {
  switch (order) {
    case 3:
      block[index] = static_cast<uint8_t>(count);
      break;
    case 4:
      StoreBe<uint16_t>(block + index * 2, static_cast<uint16_t>(count));
      break;
    case 5:
      StoreBe<uint32_t>(block + index * 4, static_cast<uint32_t>(count));
      break;
    case 6:
      StoreBe<uint64_t>(block + index * 8, count);
      break;
    default: {
      const unsigned bits = 1u << order, per_byte = 8 / bits,
                     shift = static_cast<unsigned>(index % per_byte) * bits;
      uint8_t& byte = block[index / per_byte];
      byte = static_cast<uint8_t>((byte & ~(((1u << bits) - 1) << shift)) | count << shift);
    }
  }
}

Refcounts::Refcounts(Image* file, Header* header, MetadataMap* metadata, std::vector<Range>* released,
                     size_t max_slices)
    : file_(file),
      header_(header),
      metadata_(metadata),
      released_(released),
      blocks_(file, SliceBytes(*header), max_slices) {}

Status Refcounts::LoadTable() {
  const uint64_t bytes = uint64_t{header_->refcount_table_clusters} << header_->cluster_bits;
  std::vector<uint8_t> raw(bytes);
  if (const int error = Read(file_, header_->refcount_table_offset, raw); error != 0) {
    return FailErrno(error, "Could not initialize refcount handling");
  }
  blocks_.Clear();
  dirty_sectors_.clear();
  hint_ = 0;
  table_.resize(bytes / 8);
  for (size_t i = 0; i < table_.size(); ++i) {
    table_[i] = LoadBe<uint64_t>(&raw[i * 8]) & ~kRefcountTableReserved;
    if (table_[i] != 0) metadata_->Add(table_[i], header_->cluster_bytes(), Section::kRefcountBlock);
  }
  metadata_->Add(header_->refcount_table_offset, bytes, Section::kRefcountTable);
  return Ok();
}

// The slice with the cluster's count; null if no block counts it.
int Refcounts::Slice(uint64_t cluster, uint8_t** slice, uint64_t* index) {
  *slice = nullptr;
  const uint64_t block = BlockOf(cluster);
  if (block >= table_.size() || table_[block] == 0) return 0;
  if (!IsAligned(table_[block], header_->cluster_bytes()) || table_[block] >= kMaxHostOffset) return EIO;
  const uint64_t per_slice = blocks_.slice_bytes() * 8 >> header_->refcount_order;
  const uint64_t in_block = cluster % header_->refcounts_per_block();
  *index = in_block % per_slice;
  return blocks_.Load(table_[block] + in_block / per_slice * blocks_.slice_bytes(), slice);
}

int Refcounts::Get(uint64_t cluster, uint64_t* count) {
  uint8_t* slice = nullptr;
  uint64_t index = 0;
  if (const int error = Slice(cluster, &slice, &index); error != 0) return error;
  *count = slice == nullptr ? 0 : LoadRefcount(slice, header_->refcount_order, index);
  return 0;
}

int Refcounts::Store(uint64_t cluster, uint64_t count) {
  uint8_t* slice = nullptr;
  uint64_t index = 0;
  if (const int error = Slice(cluster, &slice, &index); error != 0) return error;
  if (slice == nullptr) return EIO;
  StoreRefcount(slice, header_->refcount_order, index, count);
  const uint64_t per_slice = blocks_.slice_bytes() * 8 >> header_->refcount_order;
  const uint64_t in_block = cluster % header_->refcounts_per_block();
  blocks_.MarkDirty(table_[BlockOf(cluster)] + in_block / per_slice * blocks_.slice_bytes());
  return 0;
}

int Refcounts::Change(uint64_t offset, uint64_t length, int change) {
  if (length == 0) return 0;
  for (uint64_t cluster = offset >> header_->cluster_bits;
       cluster <= (offset + length - 1) >> header_->cluster_bits; ++cluster) {
    uint64_t count = 0;
    if (const int error = Get(cluster, &count); error != 0) return error;
    if (change < 0 ? count == 0 : count >= header_->refcount_max()) return change < 0 ? EIO : ERANGE;
    count = change < 0 ? count - 1 : count + 1;
    if (const int error = Store(cluster, count); error != 0) return error;
    if (count == 0) hint_ = std::min(hint_, cluster);
  }
  return 0;
}

// Moves from a cluster that is counted to the last of those behind it that are, within the slice.
int Refcounts::SkipCounted(uint64_t* cluster) {
  uint8_t* slice = nullptr;
  uint64_t index = 0;
  if (const int error = Slice(*cluster, &slice, &index); error != 0 || slice == nullptr) return error;
  const uint64_t per_slice = blocks_.slice_bytes() * 8 >> header_->refcount_order;
  uint64_t next = index + 1;
  while (next < per_slice && LoadRefcount(slice, header_->refcount_order, next) != 0) ++next;
  *cluster += next - 1 - index;
  return 0;
}

int Refcounts::Allocate(uint64_t wanted, bool all, uint64_t* offset, uint64_t* clusters) {
  uint64_t first = hint_, run = 0;
  const uint64_t search_end = (file_->size_bytes() >> header_->cluster_bits) + wanted + kMaxCountedBehindEnd;
  for (uint64_t cluster = hint_; run < wanted; ++cluster) {
    if (cluster >= kMaxHostOffset >> header_->cluster_bits) return ENOSPC;
    if (cluster > search_end) return EIO;
    const uint64_t block = BlockOf(cluster);
    if (block >= table_.size()) {
      if (const int error = GrowTable(cluster + 1); error != 0) return error;
    }
    if (table_[block] == 0) {
      if (run != 0 && !all) break;
      if (const int error = CreateBlock(cluster); error != 0) return error;
      run = 0;
      continue;  // The block took this cluster for itself.
    }
    uint64_t count = 0;
    if (const int error = Get(cluster, &count); error != 0) return error;
    const bool free = count == 0;
    // A cluster that counts as free and holds metadata: the image is corrupt, and must not become more so.
    if (free && metadata_->Conflict(cluster << header_->cluster_bits, 1, Section::kNone) != Section::kNone) {
      return EIO;
    }
    if (!free) {
      if (run != 0 && !all) break;
      run = 0;
      if (const int error = SkipCounted(&cluster); error != 0) return error;
      continue;
    }
    if (run++ == 0) first = cluster;
  }
  for (uint64_t i = 0; i < run; ++i) {
    if (const int error = Store(first + i, 1); error != 0) return error;
  }
  if (!all || wanted == 1) hint_ = first + run;
  *offset = first << header_->cluster_bits;
  *clusters = run;
  return 0;
}

// A block for the counts around `cluster`, in that cluster itself: no block, so it is free.
int Refcounts::CreateBlock(uint64_t cluster) {
  const uint64_t offset = cluster << header_->cluster_bits;
  if (metadata_->Conflict(offset, 1, Section::kNone) != Section::kNone) return EIO;
  std::vector<uint8_t> block(header_->cluster_bytes());
  StoreRefcount(block.data(), header_->refcount_order, cluster % header_->refcounts_per_block(), 1);
  blocks_.Drop(offset, header_->cluster_bytes());
  if (const int error = Write(file_, offset, block); error != 0) return error;
  const uint64_t index = BlockOf(cluster);
  table_[index] = offset;
  dirty_sectors_.insert(index / kEntriesPerSector);
  metadata_->Add(offset, header_->cluster_bytes(), Section::kRefcountBlock);
  return 0;
}

// A longer table, with the blocks that count it, in the clusters behind all that the present one counts.
int Refcounts::GrowTable(uint64_t clusters_to_cover) {
  const uint64_t per_block = header_->refcounts_per_block();
  const uint64_t entries_per_cluster = header_->cluster_bytes() / 8;
  const uint64_t start = covered_clusters();
  uint64_t table_clusters = 0, new_blocks = 0;
  for (uint64_t entries = std::max(BlockOf(clusters_to_cover) + 1, table_.size() + table_.size() / 2);;
       entries = BlockOf(start + table_clusters + new_blocks) + 1) {
    const uint64_t needed = (entries + entries_per_cluster - 1) / entries_per_cluster;
    table_clusters = std::max(table_clusters, needed);
    new_blocks = BlockOf(start + table_clusters + new_blocks) + 1 - BlockOf(start);
    if (BlockOf(start + table_clusters + new_blocks) < table_clusters * entries_per_cluster) break;
  }
  if (table_clusters << header_->cluster_bits > kMaxRefcountTableBytes) return EFBIG;

  const uint64_t used = table_clusters + new_blocks;
  if (metadata_->Conflict(start << header_->cluster_bits, used << header_->cluster_bits, Section::kNone) !=
      Section::kNone) {
    return EIO;
  }

  std::vector<uint64_t> table = table_;
  table.resize(table_clusters * entries_per_cluster);
  const uint64_t table_offset = start << header_->cluster_bits;
  for (uint64_t i = 0; i < new_blocks; ++i) {
    const uint64_t offset = (start + table_clusters + i) << header_->cluster_bits;
    std::vector<uint8_t> block(header_->cluster_bytes());
    for (uint64_t cluster = i * per_block; cluster < std::min((i + 1) * per_block, used); ++cluster) {
      StoreRefcount(block.data(), header_->refcount_order, cluster % per_block, 1);
    }
    blocks_.Drop(offset, header_->cluster_bytes());
    if (const int error = Write(file_, offset, block); error != 0) return error;
    table[BlockOf(start) + i] = offset;
  }
  std::vector<uint8_t> raw(table.size() * 8);
  for (size_t i = 0; i < table.size(); ++i) StoreBe<uint64_t>(&raw[i * 8], table[i]);
  if (const int error = Write(file_, table_offset, raw); error != 0) return error;
  if (const int error = Flush(file_); error != 0) return error;

  Header changed = *header_;
  changed.refcount_table_offset = table_offset;
  changed.refcount_table_clusters = static_cast<uint32_t>(table_clusters);
  const auto encoded = EncodeHeader(changed);
  if (!encoded) return EIO;
  if (const int error = Write(file_, 0, *encoded); error != 0) return error;
  if (const int error = Flush(file_); error != 0) return error;

  const Range old{header_->refcount_table_offset,
                  uint64_t{header_->refcount_table_clusters} << header_->cluster_bits};
  metadata_->Remove(old.start, old.size);
  released_->push_back(old);
  for (uint64_t i = 0; i < new_blocks; ++i) {
    metadata_->Add(table[BlockOf(start) + i], header_->cluster_bytes(), Section::kRefcountBlock);
  }
  metadata_->Add(table_offset, raw.size(), Section::kRefcountTable);
  header_->refcount_table_offset = changed.refcount_table_offset;
  header_->refcount_table_clusters = changed.refcount_table_clusters;
  table_ = std::move(table);
  dirty_sectors_.clear();
  return 0;
}

std::vector<DirtySlice> Refcounts::TakeDirtyTable() {
  std::vector<DirtySlice> taken;
  for (const uint64_t sector : dirty_sectors_) {
    DirtySlice& slice = taken.emplace_back();
    slice.offset = header_->refcount_table_offset + sector * kSectorBytes;
    slice.bytes.resize(kSectorBytes);
    for (uint64_t i = 0; i < kEntriesPerSector; ++i) {
      StoreBe<uint64_t>(&slice.bytes[i * 8], table_[sector * kEntriesPerSector + i]);
    }
  }
  dirty_sectors_.clear();
  return taken;
}

void Refcounts::KeepDirtyTable(const std::vector<DirtySlice>& sectors) {
  for (const DirtySlice& sector : sectors) {
    if (sector.offset < header_->refcount_table_offset) continue;  // Of a table that was replaced.
    const uint64_t index = (sector.offset - header_->refcount_table_offset) / kSectorBytes;
    if (index * kEntriesPerSector < table_.size()) dirty_sectors_.insert(index);
  }
}

}  // namespace berth::block::qcow2
