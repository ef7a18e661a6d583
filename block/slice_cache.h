// Tables of an image file in memory, in slices.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "block/image.h"

namespace berth::block {

// A copy of what is to be written.
struct DirtySlice {
  uint64_t offset = 0;
  std::vector<uint8_t> bytes;
};

// Not thread-safe. Never writes to the file: what is dirty stays in memory until its owner has written it,
// even beyond the cache's size.
class SliceCache {
 public:
  // Slices are `slice_bytes` long and start at multiples of it in `file`, which outlives the cache.
  SliceCache(Image* file, uint64_t slice_bytes, size_t max_slices)
      : file_(file), slice_bytes_(slice_bytes), max_slices_(max_slices) {}

  uint64_t slice_bytes() const { return slice_bytes_; }
  size_t dirty_slices() const { return dirty_; }

  // The slice at `offset` if it is in memory; null otherwise. Valid until the next Load or Drop.
  uint8_t* Find(uint64_t offset);
  // The slice at `offset`, from the file if need be; 0, or an errno value.
  int Load(uint64_t offset, uint8_t** bytes);
  // What was changed in the slice at `offset`, which is in memory, is to be written.
  void MarkDirty(uint64_t offset);
  // Forgets everything in a range, dirty or not: the table is gone.
  void Drop(uint64_t offset, uint64_t length);
  // The same for everything.
  void Clear();

  // Copies of everything dirty, which is clean from then on but stays in memory until Written.
  std::vector<DirtySlice> TakeDirty();
  // The copies have been written, or not: then they are dirty again.
  void Written(const std::vector<DirtySlice>& slices, bool written);

 private:
  struct Slice {
    uint64_t offset = 0;
    bool dirty = false;
    int writing = 0;
    std::unique_ptr<uint8_t[]> bytes;
  };
  void Evict();

  Image* const file_;
  const uint64_t slice_bytes_;
  const size_t max_slices_;
  std::list<Slice> slices_;  // Most recently used first.
  std::unordered_map<uint64_t, std::list<Slice>::iterator> by_offset_;
  size_t dirty_ = 0;
};

}  // namespace berth::block
