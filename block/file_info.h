// What an open descriptor is good for as a disk.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "block/node.h"

namespace berth::block {

struct FileInfo {
  uint64_t size_bytes = 0;
  bool is_block_device = false;
  bool direct = false;  // O_DIRECT: the page cache is bypassed and Limits binds.
  Limits limits;
};

// Looks at `fd` (borrowed), which was opened as it is to be used: O_RDWR or O_RDONLY, with or without
// O_DIRECT. INVALID_ARGUMENT unless it is a regular file or a block device that can be read at offsets.
Result<FileInfo> DescribeFile(int fd);

}  // namespace berth::block
