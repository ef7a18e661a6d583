#include "block/file_info.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/bytes.h"

namespace berth::block {
namespace {

constexpr uint32_t kMaxAlignment = 64 * 1024;

// Reads a block of each size until the file system takes one: for kernels that do not tell (before 6.1). What
// nothing can be read of is taken at the page's size.
uint32_t ProbeAlignment(int fd) {
  constexpr uint32_t kUsual = 4096;
  void* buffer = ::mmap(nullptr, kMaxAlignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (buffer == MAP_FAILED) return kUsual;
  uint32_t alignment = 512;
  while (alignment <= kMaxAlignment && ::pread(fd, buffer, alignment, 0) < 0 && errno == EINVAL) {
    alignment *= 2;
  }
  ::munmap(buffer, kMaxAlignment);
  return alignment <= kMaxAlignment ? alignment : kUsual;
}

uint32_t Sane(uint32_t value, uint32_t otherwise) {
  return IsPowerOfTwo(value) && value <= kMaxAlignment ? value : otherwise;
}

Status DescribeBlockDevice(int fd, FileInfo* info) {
  if (::ioctl(fd, BLKGETSIZE64, &info->size_bytes) != 0) return FailErrno(errno, "ask a block device's size");
  int logical = 0, read_only = 0;
  unsigned physical = 0, optimal = 0;
  if (::ioctl(fd, BLKSSZGET, &logical) != 0) return FailErrno(errno, "ask a block device's block size");
  const uint32_t block = Sane(static_cast<uint32_t>(logical), 512);
  if (::ioctl(fd, BLKPBSZGET, &physical) != 0) physical = block;
  if (::ioctl(fd, BLKIOOPT, &optimal) != 0) optimal = 0;
  if (::ioctl(fd, BLKROGET, &read_only) == 0 && read_only != 0) info->limits.read_only = true;
  info->is_block_device = true;
  info->limits.physical_block_size_bytes = std::max(Sane(physical, block), block);
  info->limits.optimal_io_size_bytes = optimal;
  info->limits.discard_granularity_bytes = block;
  // Through the page cache any range will do for data; direct I/O is in whole logical blocks.
  info->limits.block_size_bytes = info->direct ? block : 1;
  info->limits.memory_alignment_bytes = info->direct ? block : 1;
  return Ok();
}

// statx(2) STATX_DIOALIGN, from 6.1.
bool AskAlignment(int fd, Limits* limits) {
  struct statx info {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) != 0 || !(info.stx_mask & STATX_DIOALIGN))
    return false;
  if (info.stx_dio_offset_align == 0 || info.stx_dio_mem_align == 0) return false;
  limits->block_size_bytes = Sane(info.stx_dio_offset_align, 4096);
  limits->memory_alignment_bytes = Sane(info.stx_dio_mem_align, 4096);
  return true;
}

}  // namespace

Result<FileInfo> DescribeFile(int fd) {
  FileInfo info;
  struct stat status {};
  if (::fstat(fd, &status) != 0) return FailErrno(errno, "look at an image's descriptor");
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return FailErrno(errno, "look at an image's descriptor");
  if ((flags & O_ACCMODE) == O_WRONLY || (flags & (O_APPEND | O_PATH)) != 0) {
    return Fail(Code::kInvalidArgument,
                "an image must be open for reading or for reading and writing at any offset");
  }
  info.direct = (flags & O_DIRECT) != 0;
  info.limits.read_only = (flags & O_ACCMODE) == O_RDONLY;

  if (S_ISBLK(status.st_mode)) {
    TRY(DescribeBlockDevice(fd, &info));
    if (info.direct) AskAlignment(fd, &info.limits);
  } else if (S_ISREG(status.st_mode)) {
    info.size_bytes = static_cast<uint64_t>(status.st_size);
    if (info.direct && !AskAlignment(fd, &info.limits)) {
      info.limits.block_size_bytes = info.limits.memory_alignment_bytes = ProbeAlignment(fd);
    }
    const uint32_t unit = Sane(static_cast<uint32_t>(status.st_blksize), 4096);
    info.limits.physical_block_size_bytes = std::max(unit, info.limits.block_size_bytes);
    info.limits.discard_granularity_bytes = info.limits.physical_block_size_bytes;
  } else {
    return Fail(Code::kInvalidArgument, "an image is a regular file or a block device, not what was passed");
  }
  return info;
}

}  // namespace berth::block
