// The raw format: the node's bytes are the disk's, optionally from an offset on and up to a size.
#pragma once

#include <memory>
#include <optional>

#include "base/error.h"
#include "block/node.h"

namespace berth::block {

struct RawOptions {
  uint64_t offset_bytes = 0;
  std::optional<uint64_t> size_bytes{};  // Otherwise all that is behind the offset.
  bool read_only = false;
};

// OUT_OF_RANGE if the window is not inside `child`.
Result<std::unique_ptr<BlockNode>> CreateRawNode(std::unique_ptr<BlockNode> child, const RawOptions& options);

}  // namespace berth::block
