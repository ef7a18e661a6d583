// The node at the bottom: a regular file or a block device, by descriptor.
#pragma once

#include <memory>

#include "base/error.h"
#include "base/unique_fd.h"
#include "block/engine.h"
#include "block/file_info.h"
#include "block/node.h"

namespace berth::block {

struct FileOptions {
  bool read_only = false;  // Refuse to write even where the descriptor could.
};

// Takes over `fd`: opened O_RDWR or O_RDONLY as it is to be used, through the page cache or with O_DIRECT.
// The size is that of now, until the node grows. `engine` outlives the node, and they share the loop.
//
// Every range and every buffer is served, whatever O_DIRECT demands; see Limits for what is quick. Discards
// punch holes (BLKDISCARD on devices); where they are refused they do nothing. Zeroes are written by
// fallocate where the file system or the device can, and as data where not. A file that shrinks reads as
// zeroes.
Result<std::unique_ptr<BlockNode>> CreateFileNode(IoEngine* engine, UniqueFd fd,
                                                  const FileOptions& options = {});
// The same for a file that has been described already.
std::unique_ptr<BlockNode> CreateFileNode(IoEngine* engine, UniqueFd fd, const FileInfo& info);

}  // namespace berth::block
