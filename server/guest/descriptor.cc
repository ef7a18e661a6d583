#include "server/guest/descriptor.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <bit>
#include <cerrno>

#include "base/memory_file.h"
#include "block/file_lock.h"

namespace berth::server {
namespace {

const char* RoleName(FileDescriptor::Role role) {
  switch (role) {
    case FileDescriptor::Role::kKernel:
      return "KERNEL";
    case FileDescriptor::Role::kInitrd:
      return "INITRD";
    case FileDescriptor::Role::kImage:
      return "IMAGE";
  }
  return "FILE";
}

Error FileError(const FileDescriptor& file, Code code, std::string_view what, std::string message) {
  return Error(code, std::move(message))
      .Reason(fmt::format("{}_{}", RoleName(file.role), what))
      .With("path", file.path)
      .With("resource", file.path);
}

Error OpenError(const FileDescriptor& file, int error) {
  Error system = SystemError(error, fmt::format("open {}", file.path));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return FileError(file, Code::kNotFound, "NOT_FOUND", fmt::format("there is no file {}", file.path));
    case EACCES:
    case EPERM:
    case EROFS:
      return FileError(file, Code::kPermissionDenied, file.writable ? "NOT_WRITABLE" : "NOT_READABLE",
                       system.message());
    case EBUSY:
      return FileError(file, Code::kFailedPrecondition, "IN_USE", system.message());
    default:
      return FileError(file, system.code(), "NOT_OPENED", system.message());
  }
}

// An open file description lock: it is the VMM's as soon as it has the descriptor, and ends with it.
Status Lock(const FileDescriptor& file, int fd) {
  const bool grows = file.writable && !file.format.empty() && file.format != "raw";
  if (block::LockFile(fd, file.path, {.write = file.writable, .resize = grows})) return Ok();
  return Fail(FileError(file, Code::kFailedPrecondition, "IN_USE",
                        fmt::format("{} is in use by another guest or program", file.path)));
}

}  // namespace

Result<UniqueFd> OpenFile(const FileDescriptor& file) {
  // Non-blocking, so that a FIFO in the file's place does not hold us up.
  const int flags =
      (file.writable ? O_RDWR : O_RDONLY) | (file.direct ? O_DIRECT : 0) | O_NONBLOCK | O_NOCTTY;
  UniqueFd fd(::open(file.path.c_str(), flags | O_CLOEXEC));
  if (!fd) return Fail(OpenError(file, errno));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return Fail(OpenError(file, errno));
  const bool is_image = file.role == FileDescriptor::Role::kImage;
  if (!S_ISREG(info.st_mode) && !(is_image && S_ISBLK(info.st_mode))) {
    return Fail(
        FileError(file, Code::kInvalidArgument, "NOT_A_FILE",
                  fmt::format("{} is no {}", file.path, is_image ? "file or block device" : "regular file")));
  }
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  if (is_image) TRY(Lock(file, fd.get()));
  return fd;
}

Result<UniqueFd> CreateMemory(const MemoryDescriptor& memory) {
  if (memory.page_size_bytes <= 4096) return CreateMemoryFile(memory.name, memory.size_bytes);
  const unsigned page = static_cast<unsigned>(std::countr_zero(memory.page_size_bytes)) << MAP_HUGE_SHIFT;
  UniqueFd fd(::memfd_create(memory.name.c_str(), MFD_CLOEXEC | MFD_HUGETLB | page));
  if (!fd && (errno == ENODEV || errno == EINVAL)) {
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("the host has no pages of {} bytes", memory.page_size_bytes))
                    .Reason("HUGE_PAGE_SIZE_NOT_SUPPORTED")
                    .With("pageSizeBytes", std::to_string(memory.page_size_bytes)));
  }
  if (!fd) return FailErrno(errno, "create the guest's memory");
  if (::ftruncate(fd.get(), static_cast<off_t>(memory.size_bytes)) != 0) {
    return FailErrno(errno, "size the guest's memory to {} bytes", memory.size_bytes);
  }
  return fd;
}

}  // namespace berth::server
