#include "block/file_lock.h"

#include <fcntl.h>

#include <cerrno>

namespace berth::block {
namespace {

// The bytes: kHeld + i is locked by who does i, kUnshared + i by who does not let others do i.
constexpr off_t kHeld = 100, kUnshared = 200;

struct Permission {
  const char* name;
  bool held;
  bool shared;
};

struct flock At(short type, off_t byte) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

bool Lock(int fd, off_t byte) {
  struct flock lock = At(F_RDLCK, byte);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool SomeoneHas(int fd, off_t byte) {
  struct flock lock = At(F_WRLCK, byte);
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace

Status LockFile(int fd, const std::string& filename, const FileUse& use) {
  const Permission permissions[] = {
      {"consistent read", use.read, true},
      {"write", use.write, use.share_write},
      {"write unchanged", false, true},
      {"resize", use.resize, use.share_resize},
  };
  off_t i = 0;
  for (const Permission& permission : permissions) {
    if (permission.held && !Lock(fd, kHeld + i)) return Ok();
    if (!permission.shared && !Lock(fd, kUnshared + i)) return Ok();
    ++i;
  }
  if (use.takes_over) return Ok();
  // First lock, then look: of two that come at once at least one sees the other.
  i = 0;
  for (const Permission& permission : permissions) {
    const bool refused = permission.held && SomeoneHas(fd, kUnshared + i);
    if (refused || (!permission.shared && SomeoneHas(fd, kHeld + i))) {
      return Fail(Code::kFailedPrecondition,
                  "Failed to get {}\"{}\" lock\nIs another process using the image [{}]?",
                  refused ? "" : "shared ", permission.name, filename);
    }
    ++i;
  }
  return Ok();
}

}  // namespace berth::block
