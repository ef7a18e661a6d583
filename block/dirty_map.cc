#include "block/dirty_map.h"

#include <algorithm>
#include <bit>

namespace berth::block {
namespace {

constexpr uint64_t kBits = 64;

// The bits of a word that are among the parts [first, end).
uint64_t MaskOf(uint64_t word, uint64_t first, uint64_t end) {
  uint64_t mask = ~uint64_t{0};
  if (first > word * kBits) mask &= ~uint64_t{0} << (first - word * kBits);
  if (end < (word + 1) * kBits) mask &= ~uint64_t{0} >> ((word + 1) * kBits - end);
  return mask;
}

}  // namespace

DirtyMap::DirtyMap(uint64_t size_bytes) : size_bytes_(size_bytes) {
  while (size_bytes_ / part_bytes_ >= kMaxParts) part_bytes_ *= 2;
  words_.resize(size_bytes_ / part_bytes_ / kBits + 1);
}

void DirtyMap::Mark(uint64_t offset, uint64_t length) {
  if (length == 0 || offset >= size_bytes_) return;
  const uint64_t first = offset / part_bytes_;
  const uint64_t end = (offset + std::min(length, size_bytes_ - offset) - 1) / part_bytes_ + 1;
  MutexLock lock(mutex_);
  for (uint64_t word = first / kBits; word * kBits < end; ++word) {
    const uint64_t mask = MaskOf(word, first, end);
    count_ += static_cast<uint64_t>(std::popcount(mask & ~words_[word]));
    words_[word] |= mask;
  }
}

std::optional<Range> DirtyMap::Take(uint64_t from, uint64_t most_bytes) {
  const uint64_t most = std::max<uint64_t>(most_bytes / part_bytes_, 1);
  uint64_t first = from / part_bytes_;
  MutexLock lock(mutex_);
  for (; count_ != 0 && first / kBits < words_.size(); first = (first / kBits + 1) * kBits) {
    const uint64_t rest = words_[first / kBits] >> first % kBits;
    if (rest == 0) continue;
    first += static_cast<uint64_t>(std::countr_zero(rest));
    uint64_t end = first;
    for (; end - first < most && end / kBits < words_.size(); ++end) {
      const uint64_t bit = uint64_t{1} << end % kBits;
      if ((words_[end / kBits] & bit) == 0) break;
      words_[end / kBits] &= ~bit;
    }
    count_ -= end - first;
    const uint64_t start = first * part_bytes_;
    return Range{start, std::min(end * part_bytes_, size_bytes_) - start};
  }
  return std::nullopt;
}

uint64_t DirtyMap::marked_bytes() const {
  MutexLock lock(mutex_);
  return count_ * part_bytes_;
}

}  // namespace berth::block
