#include "base/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace berth {
namespace {

// The descriptor is empty where the kernel refuses any step.
UniqueFd CreateInOwnTmpfs(const std::string& name) {
  const UniqueFd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  const auto set = [&context](const char* option, const char* value) {
    return ::fsconfig(context.get(), FSCONFIG_SET_STRING, option, value, 0) == 0;
  };
  // Without limits of its own: by default it would take no more than half of the host's memory.
  if (!context || !set("size", "0") || !set("nr_inodes", "0") || !set("huge", "advise")) return {};
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return {};
  const UniqueFd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  if (!mount) return {};
  // Under its name, for whoever looks at a process's maps.
  UniqueFd file(::openat(mount.get(), name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (!file) return {};
  ::unlinkat(mount.get(), name.c_str(), 0);
  // As a memfd is. Who could not open it for writing is told by mincore(2) that all of it is in memory, and
  // the VMM, which is another user, believes that.
  if (::fchmod(file.get(), 0666) != 0) return {};
  return file;
}

}  // namespace

Result<UniqueFd> CreateMemoryFile(const std::string& name, uint64_t size_bytes) {
  UniqueFd fd = CreateInOwnTmpfs(name);
  if (!fd) fd.Reset(::memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!fd) return FailErrno(errno, "create {}", name);
  if (::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) != 0) {
    return FailErrno(errno, "size {} to {} bytes", name, size_bytes);
  }
  return fd;
}

}  // namespace berth
