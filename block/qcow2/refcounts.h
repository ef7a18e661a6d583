// How often each cluster of the image file is referred to, and the allocator that follows from it.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "block/image.h"
#include "block/qcow2/header.h"
#include "block/qcow2/metadata_map.h"
#include "block/slice_cache.h"

namespace berth::block::qcow2 {

// A refcount inside a block, which may be a slice: entries of 2^order bits, big-endian, those below a byte
// from its least significant bit.
uint64_t LoadRefcount(const uint8_t* block, uint32_t order, uint64_t index);
void StoreRefcount(uint8_t* block, uint32_t order, uint64_t index, uint64_t count);

// Not thread-safe. Errors are errno values: EIO for an image that contradicts itself.
class Refcounts {
 public:
  // All outlive this. `released` is told of clusters that are to be uncounted after the next flush.
  Refcounts(Image* file, Header* header, MetadataMap* metadata, std::vector<Range>* released,
            size_t max_slices);

  // Reads the table, or reads it again; what was in memory is forgotten.
  Status LoadTable();

  int Get(uint64_t cluster, uint64_t* count);
  // Adds `change` to the counts of the clusters that [offset, offset + length) touches. EIO if a count would
  // leave its range or there is none; those before are changed.
  int Change(uint64_t offset, uint64_t length, int change);
  // Sets a count; EIO if no block counts the cluster.
  int Store(uint64_t cluster, uint64_t count);
  // Finds and counts between 1 and `wanted` free clusters in a row; exactly `wanted` with `all`. Their offset
  // and number. ENOSPC beyond what a file can be.
  int Allocate(uint64_t wanted, bool all, uint64_t* offset, uint64_t* clusters);

  // Of writing: blocks first, then, after a flush, the table.
  SliceCache& blocks() { return blocks_; }
  std::vector<DirtySlice> TakeDirtyTable();
  void KeepDirtyTable(const std::vector<DirtySlice>& sectors);
  const std::vector<uint64_t>& table() const { return table_; }
  // How many clusters the table has entries for.
  uint64_t covered_clusters() const { return table_.size() * header_->refcounts_per_block(); }

 private:
  int Slice(uint64_t cluster, uint8_t** slice, uint64_t* index);
  int SkipCounted(uint64_t* cluster);
  int CreateBlock(uint64_t cluster);
  int GrowTable(uint64_t clusters_to_cover);
  uint64_t BlockOf(uint64_t cluster) const { return cluster / header_->refcounts_per_block(); }

  Image* const file_;
  Header* const header_;
  MetadataMap* const metadata_;
  std::vector<Range>* const released_;
  std::vector<uint64_t> table_;       // Offsets of blocks; 0: none.
  std::set<uint64_t> dirty_sectors_;  // Of the table, in units of kSectorBytes.
  SliceCache blocks_;
  uint64_t hint_ = 0;
};

}  // namespace berth::block::qcow2
