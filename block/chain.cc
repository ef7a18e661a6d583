#include "block/chain.h"

#include <algorithm>

#include "block/format_image.h"

namespace berth::block {

Result<ChainExtent> StatusOf(Image* image, uint64_t offset, uint64_t length) {
  const auto* format = dynamic_cast<const FormatImage*>(image);
  const Extent extent = TRY(image->Map(offset, length));
  ChainExtent status{.length = std::min(extent.length, length),
                     .image = image,
                     .allocated = extent.allocated,
                     .data = extent.data,
                     .zero = extent.zero,
                     .compressed = extent.compressed,
                     .stored_at = extent.stored_at,
                     .stored_in = extent.stored_in != nullptr ? extent.stored_in
                                  : format == nullptr         ? image
                                                              : format->data_file()};
  if (!extent.allocated) {
    const Image* backing = format == nullptr ? nullptr : format->backing();
    status.zero |= backing == nullptr || offset >= backing->size_bytes();
  }
  if (extent.ask_file && extent.stored_at) {
    Image* file = status.stored_in;
    if (*extent.stored_at >= file->size_bytes()) {
      status.zero = true;
    } else {
      const uint64_t there = std::min(status.length, file->size_bytes() - *extent.stored_at);
      const Extent stored = TRY(file->Map(*extent.stored_at, there));
      status.length = std::min(there, stored.length);
      status.zero |= stored.zero;
    }
  }
  return status;
}

Result<ChainExtent> StatusAbove(Image* top, Image* base, uint64_t offset, uint64_t length) {
  ChainExtent status = TRY(StatusOf(top, offset, length));
  int depth = 0;
  while (!status.allocated) {
    const auto* format = dynamic_cast<const FormatImage*>(status.image);
    Image* beneath = format == nullptr ? nullptr : format->backing();
    if (beneath == nullptr || beneath == base) break;
    ++depth;
    if (offset >= beneath->size_bytes()) {
      // What is behind the end of a shorter image reads as zeroes, as if it were there.
      status = {.length = status.length, .image = beneath, .allocated = true, .zero = true};
    } else {
      status = TRY(StatusOf(beneath, offset, std::min(status.length, beneath->size_bytes() - offset)));
    }
    status.depth = depth;
  }
  return status;
}

Result<Extent> MapThrough(Image* image, uint64_t offset, uint64_t length) {
  if (dynamic_cast<const FormatImage*>(image) == nullptr) return image->Map(offset, length);
  const ChainExtent status = TRY(StatusAbove(image, nullptr, offset, length));
  return Extent{.offset = offset,
                .length = std::min(status.length, length),
                .allocated = true,
                .zero = status.zero,
                .data = status.data,
                .compressed = status.compressed,
                .stored_at = status.stored_at,
                .stored_in = status.stored_in};
}

}  // namespace berth::block
