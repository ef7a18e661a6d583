// What an image's bytes are, seen through the images beneath it.
#pragma once

#include <cstdint>
#include <optional>

#include "base/error.h"
#include "block/image.h"

namespace berth::block {

struct ChainExtent {
  uint64_t length = 0;
  Image* image = nullptr;  // Which determines the content.
  int depth = 0;           // 0: the topmost.
  bool allocated = false;  // Some image has the range.
  bool data = false;
  bool zero = false;  // Reads as zeroes.
  bool compressed = false;
  std::optional<uint64_t> stored_at{};  // In stored_in.
  Image* stored_in = nullptr;
};

// `image` alone, as Image::Map, but what is not allocated and has nothing beneath it is known to be zero, and
// data of which the file is a hole as well.
Result<ChainExtent> StatusOf(Image* image, uint64_t offset, uint64_t length);

// From `top` down to the image that has the range, not going to `base` or below (null: to the end).
Result<ChainExtent> StatusAbove(Image* top, Image* base, uint64_t offset, uint64_t length);

// Map of an image that shows another as it is, whatever stands beneath that: nothing is left unallocated.
Result<Extent> MapThrough(Image* image, uint64_t offset, uint64_t length);

}  // namespace berth::block
