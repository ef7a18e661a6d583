#include "host/disk.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>

#include "host/sysfs.h"

namespace berth::host {

Result<std::string> DiskOf(const HostRoots& roots, const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return FailErrno(errno, "look at {}", path);
  const dev_t device = S_ISBLK(info.st_mode) ? info.st_rdev : info.st_dev;
  const std::string numbers = fmt::format("{}:{}", major(device), minor(device));
  const SysfsDirectory block(roots.sys + "/dev/block/" + numbers);
  if (!block.exists()) {
    return Fail(Error(Code::kFailedPrecondition, fmt::format("{} is on no single disk of the host", path))
                    .Reason("NO_SINGLE_DISK")
                    .With("path", path));
  }
  if (!block.Text("partition")) return numbers;
  // A partition's directory is in that of its disk; limits are the disk's.
  std::error_code error;
  const auto real = std::filesystem::canonical(roots.sys + "/dev/block/" + numbers, error);
  if (error) return FailErrno(error.value(), "look at the disk of {}", path);
  const auto disk = SysfsDirectory(real.parent_path().string()).Text("dev");
  if (!disk) return Fail(Code::kInternal, "the partition of {} has no disk", path);
  return *disk;
}

}  // namespace berth::host
