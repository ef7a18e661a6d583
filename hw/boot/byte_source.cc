#include "hw/boot/byte_source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/bytes.h"

namespace berth::hw {

Result<FileSource> FileSource::Create(int fd, std::string name) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return FailErrno(errno, "look at the {}", name);
  if (!S_ISREG(info.st_mode)) return Fail(Code::kInvalidArgument, "the {} is not a regular file", name);
  return FileSource(fd, std::move(name), static_cast<uint64_t>(info.st_size));
}

Status FileSource::Read(uint64_t offset, std::span<const iovec> out) {
  for (const iovec& piece : out) {
    auto* at = static_cast<uint8_t*>(piece.iov_base);
    for (size_t left = piece.iov_len; left > 0;) {
      const ssize_t got = ::pread(fd_, at, left, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return FailErrno(errno, "read the {} at {}", name_, offset);
      if (got == 0) return Fail(Code::kOutOfRange, "the {} ends at byte {}", name_, offset);
      at += got;
      offset += static_cast<uint64_t>(got);
      left -= static_cast<size_t>(got);
    }
  }
  return Ok();
}

Status SpanSource::Read(uint64_t offset, std::span<const iovec> out) {
  for (const iovec& piece : out) {
    if (!Range{0, bytes_.size()}.Contains(offset, piece.iov_len)) {
      return Fail(Code::kOutOfRange, "the source ends at byte {}", bytes_.size());
    }
    if (piece.iov_len == 0) continue;  // memcpy wants addresses even then.
    std::memcpy(piece.iov_base, bytes_.data() + offset, piece.iov_len);
    offset += piece.iov_len;
  }
  return Ok();
}

}  // namespace berth::hw
