#include "server/volume/pool_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <tuple>

#include "base/log.h"
#include "server/volume/new_volume_file.h"

namespace berth::server {
namespace {

constexpr size_t kMaxEntries = 4 * VolumePool::kMaxVolumes;

struct CloseDir {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// Names of files, in no order.
Result<std::vector<std::string>> Entries(int fd) {
  // A description of its own, for the place in it is shared by all duplicates.
  UniqueFd own(::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) return FailErrno(errno, "open a pool's directory");
  const std::unique_ptr<DIR, CloseDir> directory(::fdopendir(own.get()));
  if (!directory) return FailErrno(errno, "read a pool's directory");
  (void)own.Release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (names.size() == kMaxEntries) break;
    names.emplace_back(entry->d_name);
    errno = 0;
  }
  if (errno != 0) return FailErrno(errno, "read a pool's directory");
  return names;
}

}  // namespace

Result<PoolDirectory> PoolDirectory::Open(const PoolSettings& pool) {
  if (pool.directory.empty()) {
    return Fail(Error(Code::kNotFound, fmt::format("berthd's configuration has no pool {}", pool.id))
                    .Reason("POOL_NOT_FOUND")
                    .With("resource", PoolName(pool.id)));
  }
  auto fd = berth::Open(pool.directory, O_RDONLY | O_DIRECTORY);
  if (!fd)
    return Fail(AboutPool(pool, Code::kFailedPrecondition, "POOL_NOT_AVAILABLE",
                          fmt::format("the pool {}: {}", pool.id, fd.error().message())));
  struct stat status {};
  if (::fstat(fd->get(), &status) != 0) return FailErrno(errno, "look at {}", pool.directory);
  const bool ours = status.st_uid == 0 || status.st_uid == ::geteuid();
  if (!ours || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Fail(
        AboutPool(pool, Code::kFailedPrecondition, "POOL_NOT_PRIVATE",
                  fmt::format("the pool {}: others than its owner, who has to be root, may write to {}: "
                              "`chown root {} && chmod go-w {}`",
                              pool.id, pool.directory, pool.directory, pool.directory)));
  }
  return PoolDirectory(pool.id, pool.directory, *std::move(fd));
}

std::string PoolDirectory::PathOf(const VolumeFile& file) const { return path_ + "/" + file.ToString(); }

Result<std::vector<VolumeFile>> PoolDirectory::List() const {
  const std::vector<std::string> names = TRY(Entries(fd_.get()));
  std::vector<VolumeFile> files;
  for (const std::string& name : names) {
    if (auto file = VolumeFile::Parse(name)) files.push_back(*std::move(file));
  }
  if (files.size() > kMaxVolumes || names.size() == kMaxEntries) {
    return Fail(Error(Code::kResourceExhausted,
                      fmt::format("{} has more than {} volumes or {} files", path_, kMaxVolumes, kMaxEntries))
                    .Reason("POOL_TOO_LARGE")
                    .With("resource", PoolName(pool())));
  }
  std::sort(files.begin(), files.end(), [](const VolumeFile& a, const VolumeFile& b) {
    return std::tie(a.id, a.base, a.format) < std::tie(b.id, b.base, b.format);
  });
  return files;
}

Result<UniqueFd> PoolDirectory::OpenVolume(const VolumeFile& file, int flags) const {
  // Non-blocking, so that a FIFO in the file's place does not hold us up.
  auto fd = OpenBeneath(fd_.get(), file.ToString(), flags | O_NONBLOCK | O_NOCTTY, 0);
  const auto fail = [&](Code code, const char* reason, std::string message) {
    return Fail(Error(code, std::move(message))
                    .Reason(reason)
                    .With("resource", NameOf(file.id))
                    .With("path", PathOf(file)));
  };
  if (!fd && fd.error().code() == Code::kNotFound)
    return fail(Code::kNotFound, "VOLUME_NOT_FOUND", fmt::format("there is no volume {}", NameOf(file.id)));
  struct stat status {};
  if (fd && ::fstat(fd->get(), &status) != 0) return FailErrno(errno, "look at {}", PathOf(file));
  if (!fd || !S_ISREG(status.st_mode)) {
    return fail(Code::kPermissionDenied, "VOLUME_NOT_A_FILE",
                fmt::format("{} is no regular file that can be opened{}", PathOf(file),
                            fd ? "" : ": " + fd.error().message()));
  }
  ::fcntl(fd->get(), F_SETFL, ::fcntl(fd->get(), F_GETFL) & ~O_NONBLOCK);
  return fd;
}

Status PoolDirectory::Rename(const VolumeFile& from, const VolumeFile& to) const {
  if (::renameat2(fd_.get(), from.ToString().c_str(), fd_.get(), to.ToString().c_str(), RENAME_NOREPLACE) !=
      0)
    return FailErrno(errno, "rename {} to {}", PathOf(from), to.ToString());
  if (::fsync(fd_.get()) != 0) return FailErrno(errno, "write the directory of {}", PathOf(to));
  return Ok();
}

Result<std::unique_ptr<NewVolume>> PoolDirectory::Begin(const VolumeFile& file, uint64_t) const {
  return std::make_unique<NewVolumeFile>(
      TRY(NewVolumeFile::Create(fd_.get(), {.pool = pool(), .id = file.id})));
}

Result<PoolSpace> PoolDirectory::Space() const {
  struct statvfs space {};
  if (::fstatvfs(fd_.get(), &space) != 0) return FailErrno(errno, "ask how large {} is", PoolName(pool()));
  return PoolSpace{.capacity_bytes = static_cast<int64_t>(space.f_blocks * space.f_frsize),
                   .available_bytes = static_cast<int64_t>(space.f_bavail * space.f_frsize)};
}

Status PoolDirectory::Remove(const VolumeFile& file, UniqueFd) const {
  if (::unlinkat(fd_.get(), file.ToString().c_str(), 0) != 0)
    return FailErrno(errno, "remove {}", PathOf(file));
  if (::fsync(fd_.get()) != 0) return FailErrno(errno, "write the directory of {}", PathOf(file));
  return Ok();
}

void PoolDirectory::CleanUp() const {
  const auto names = Entries(fd_.get());
  if (!names) return;
  for (const std::string& name : *names) {
    if (NewVolumeFile::RemoveLeftover(fd_.get(), name))
      LOG_INFO("{}/{}: left by a daemon that ended, removed", path_, name);
  }
}

}  // namespace berth::server
