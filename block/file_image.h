// The file protocol: a regular file or a block device as an Image.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"
#include "block/driver.h"
#include "block/image.h"

namespace berth::block {

struct FileImageOptions {
  bool read_only = false;
  bool no_flush = false;
  bool write_through = false;
  bool lock = false;  // What LockFileImage asks.
  bool reads = true;  // False: only asked about.
};

// Takes over `fd`, opened O_RDWR or O_RDONLY as it is to be used, with or without O_DIRECT. A regular file
// grows by being written to. No locks are taken.
Result<std::unique_ptr<Image>> CreateFileImage(UniqueFd fd, const FileImageOptions& options = {});

// Takes the locks that other programs see, for the way `image` was opened; does nothing for images that are
// no files. `share`: others may write as well, for raw content says the same whoever changes it.
Status LockFileImage(Image* image, bool share);

// The descriptor beneath `image`; -1 if it is no file. For copying inside the kernel.
int FileDescriptorOf(const Image* image);

}  // namespace berth::block
