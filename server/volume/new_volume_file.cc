#include "server/volume/new_volume_file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "host/roots.h"

namespace berth::server {
namespace {

constexpr std::string_view kHidden = ".new-";

// Only who has the file's lock removes its name: what is locked and still has it stays.
bool LockInPlace(int directory, const std::string& file_name, int fd) {
  struct stat here {
  }, there{};
  return ::flock(fd, LOCK_EX | LOCK_NB) == 0 && ::fstat(fd, &here) == 0 &&
         ::fstatat(directory, file_name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
         here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

}  // namespace

Result<UniqueFd> OpenBeneath(int directory, const std::string& name, int flags, unsigned mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof(how));
  if (fd < 0) return FailErrno(errno, "open {}", name);
  return UniqueFd(static_cast<int>(fd));
}

Result<NewVolumeFile> NewVolumeFile::Create(int directory, const VolumeName& name) {
  std::string hidden = std::string(kHidden) + name.id;
  constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL;
  auto fd = OpenBeneath(directory, hidden, kFlags, 0600);
  if (!fd && fd.error().code() == Code::kAlreadyExists && RemoveLeftover(directory, hidden))
    fd = OpenBeneath(directory, hidden, kFlags, 0600);
  if (!fd && fd.error().code() != Code::kAlreadyExists) return Fail(std::move(fd).error());
  if (!fd || !LockInPlace(directory, hidden, fd->get())) {
    return Fail(VolumeBeingMade(name.ToString()));
  }
  return NewVolumeFile(directory, name, std::move(hidden), *std::move(fd));
}

NewVolumeFile::~NewVolumeFile() {
  if (fd_) ::unlinkat(directory_, hidden_.c_str(), 0);
}

std::string NewVolumeFile::path() const {
  return fmt::format("{}/self/fd/{}", host::HostRoots{}.proc, fd_.get());
}

Status NewVolumeFile::Publish(const VolumeFile& as) {
  if (::fsync(fd_.get()) != 0) return FailErrno(errno, "write {}", name_.ToString());
  const std::string file_name = as.ToString();
  // Unlike a rename it takes nobody's place.
  if (::linkat(directory_, hidden_.c_str(), directory_, file_name.c_str(), 0) != 0) {
    if (errno != EEXIST) return FailErrno(errno, "name {}", file_name);
    return Fail(VolumeExists(name_.ToString()));
  }
  ::unlinkat(directory_, hidden_.c_str(), 0);
  fd_.Reset();
  if (::fsync(directory_) == 0) return Ok();
  const int error = errno;
  ::unlinkat(directory_, file_name.c_str(), 0);  // Who is told of a failure need not look for what it left.
  return FailErrno(error, "write the directory of {}", name_.ToString());
}

bool NewVolumeFile::RemoveLeftover(int directory, const std::string& file_name) {
  if (!file_name.starts_with(kHidden)) return false;
  const auto fd = OpenBeneath(directory, file_name, O_RDONLY | O_NONBLOCK, 0);
  if (!fd || !LockInPlace(directory, file_name, fd->get())) return false;
  return ::unlinkat(directory, file_name.c_str(), 0) == 0;
}

}  // namespace berth::server
