// Which parts of a disk were changed and have not been copied since.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"

namespace berth::block {

// Any thread. A bit for each part; the parts of a large disk are larger, so that there are no more bits than
// kMaxParts.
class DirtyMap {
 public:
  static constexpr uint64_t kMaxParts = 1 << 25;  // 4 MiB of bits.
  static constexpr uint64_t kMinPartBytes = 4096;

  explicit DirtyMap(uint64_t size_bytes);

  // A range within the disk.
  void Mark(uint64_t offset, uint64_t length) EXCLUDES(mutex_);
  // The first run of marked parts that ends behind `from`, whole parts up to about `most_bytes`, which are
  // not marked any more; nothing if there is none.
  std::optional<Range> Take(uint64_t from, uint64_t most_bytes) EXCLUDES(mutex_);
  // Of all marked parts together; no less than what is marked.
  uint64_t marked_bytes() const EXCLUDES(mutex_);

 private:
  const uint64_t size_bytes_;
  uint64_t part_bytes_ = kMinPartBytes;
  mutable Mutex mutex_;
  std::vector<uint64_t> words_ GUARDED_BY(mutex_);  // A part is a bit of one.
  uint64_t count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace berth::block
