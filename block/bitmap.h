// Persistent dirty bitmaps inside an image: which parts of the disk were written since somebody last looked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace berth::block {

struct BitmapInfo {
  std::string name;
  uint64_t granularity_bytes = 0;
  bool enabled = true;        // Records writes.
  bool inconsistent = false;  // Was in use when its program ended: it can only be removed.
};

inline constexpr uint64_t kMinBitmapGranularity = 512, kMaxBitmapGranularity = uint64_t{1} << 31;

// Implemented by images that have such bitmaps. Any thread; what is changed here is on the disk after
// StoreBitmaps, or when the image is closed.
class BitmapStore {
 public:
  virtual ~BitmapStore() = default;
  // False: this image has none and cannot get any.
  virtual bool CanHaveBitmaps() const = 0;
  virtual std::vector<BitmapInfo> Bitmaps() = 0;
  virtual Status AddBitmap(const BitmapInfo& info) = 0;
  virtual Status RemoveBitmap(std::string_view name) = 0;
  virtual Status ClearBitmap(std::string_view name) = 0;
  virtual Status EnableBitmap(std::string_view name, bool enabled) = 0;
  // Those that are marked, in order, in multiples of the granularity but for the disk's end.
  virtual Result<std::vector<Range>> DirtyRanges(std::string_view name) = 0;
  virtual Status MarkDirty(std::string_view name, const std::vector<Range>& ranges) = 0;
  // Nobody writes to the image meanwhile.
  virtual Status StoreBitmaps() = 0;
};

// All that is marked, together; 0 of one that is inconsistent. DirtyRanges' errors.
inline Result<uint64_t> DirtyBytes(BitmapStore* store, const BitmapInfo& info) {
  if (info.inconsistent) return 0;
  uint64_t bytes = 0;
  for (const Range& range : TRY(store->DirtyRanges(info.name))) bytes += range.size;
  return bytes;
}

}  // namespace berth::block
