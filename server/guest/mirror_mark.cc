#include "server/guest/mirror_mark.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace berth::server {
namespace {

Status SyncDirectory(const std::string& path) {
  const UniqueFd directory = TRY(Open(path, O_RDONLY | O_DIRECTORY));
  if (::fsync(directory.get()) != 0) return FailErrno(errno, "write {}", path);
  return Ok();
}

}  // namespace

Result<UniqueFd> MirrorMark::Create() const {
  UniqueFd file = TRY(Open(path_, O_RDWR | O_CREAT | O_TRUNC, 0600));
  if (::fsync(file.get()) != 0) return FailErrno(errno, "write {}", path_);
  TRY(SyncDirectory(directory_));
  return file;
}

Result<MirrorMark::State> MirrorMark::Read() const {
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0) return status.st_size > 0 ? State::kComplete : State::kNotSet;
  if (errno == ENOENT) return State::kNone;
  return FailErrno(errno, "look at {}", path_);
}

Status MirrorMark::Remove() const {
  if (::unlink(path_.c_str()) == 0) return SyncDirectory(directory_);
  if (errno == ENOENT) return Ok();
  return FailErrno(errno, "remove {}", path_);
}

}  // namespace berth::server
