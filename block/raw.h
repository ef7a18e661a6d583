// The raw format: the file's bytes are the disk's, optionally from an offset on and up to a size.
#pragma once

#include <memory>
#include <optional>

#include "base/error.h"
#include "block/format_image.h"

namespace berth::block {

struct RawOptions {
  uint64_t offset_bytes = 0;
  std::optional<uint64_t> size_bytes{};  // Otherwise all that is behind the offset, however the file grows.
  bool read_only = false;
  // Refuse (EPERM) what would make the image look like one of another format: for images that were taken as
  // raw because they looked like nothing else.
  bool guard_head = false;
  bool beneath = false;  // It holds another image: writing behind its end makes it longer.
};

// OUT_OF_RANGE if the window is not inside `file`.
Result<std::unique_ptr<FormatImage>> CreateRawImage(std::unique_ptr<Image> file, const RawOptions& options);

}  // namespace berth::block
