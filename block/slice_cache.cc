#include "block/slice_cache.h"

#include <algorithm>

namespace berth::block {
namespace {

// Slices at the old end that are looked at for one that may go.
constexpr int kEvictionSearch = 32;

}  // namespace

uint8_t* SliceCache::Find(uint64_t offset) {
  const auto found = by_offset_.find(offset);
  if (found == by_offset_.end()) return nullptr;
  slices_.splice(slices_.begin(), slices_, found->second);
  return found->second->bytes.get();
}

int SliceCache::Load(uint64_t offset, uint8_t** bytes) {
  *bytes = Find(offset);
  if (*bytes != nullptr) return 0;
  auto memory = std::make_unique<uint8_t[]>(slice_bytes_);
  if (const int error = Read(file_, offset, {memory.get(), slice_bytes_}); error != 0) return error;
  Evict();
  *bytes = memory.get();
  slices_.push_front({.offset = offset, .bytes = std::move(memory)});
  by_offset_[offset] = slices_.begin();
  return 0;
}

void SliceCache::MarkDirty(uint64_t offset) {
  Slice& slice = *by_offset_.at(offset);
  dirty_ += !slice.dirty;
  slice.dirty = true;
}

void SliceCache::Drop(uint64_t offset, uint64_t length) {
  for (uint64_t at = offset; at < offset + length; at += slice_bytes_) {
    const auto found = by_offset_.find(at);
    if (found == by_offset_.end()) continue;
    dirty_ -= found->second->dirty;
    slices_.erase(found->second);
    by_offset_.erase(found);
  }
}

void SliceCache::Clear() {
  slices_.clear();
  by_offset_.clear();
  dirty_ = 0;
}

void SliceCache::Evict() {
  int looked = 0;
  for (auto at = slices_.end();
       slices_.size() >= max_slices_ && at != slices_.begin() && looked < kEvictionSearch; ++looked) {
    --at;
    if (at->dirty || at->writing != 0) continue;
    by_offset_.erase(at->offset);
    at = slices_.erase(at);
  }
}

std::vector<DirtySlice> SliceCache::TakeDirty() {
  std::vector<DirtySlice> taken;
  taken.reserve(dirty_);
  for (Slice& slice : slices_) {
    if (!slice.dirty) continue;
    slice.dirty = false;
    ++slice.writing;
    taken.push_back({slice.offset, {slice.bytes.get(), slice.bytes.get() + slice_bytes_}});
  }
  dirty_ = 0;
  std::sort(taken.begin(), taken.end(),
            [](const DirtySlice& a, const DirtySlice& b) { return a.offset < b.offset; });
  return taken;
}

void SliceCache::Written(const std::vector<DirtySlice>& slices, bool written) {
  for (const DirtySlice& slice : slices) {
    const auto found = by_offset_.find(slice.offset);
    if (found == by_offset_.end()) continue;  // Dropped meanwhile.
    found->second->writing = std::max(0, found->second->writing - 1);
    if (!written) MarkDirty(slice.offset);
  }
}

}  // namespace berth::block
