#include "base/unique_fd.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

namespace berth {

void UniqueFd::Reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Result<UniqueFd> Open(const std::string& path, int flags, unsigned mode) {
  int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return FailErrno(errno, "open {}", path);
  return UniqueFd(fd);
}

Result<UniqueFd> Duplicate(int fd) {
  int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return FailErrno(errno, "duplicate descriptor {}", fd);
  return UniqueFd(copy);
}

Result<UniqueFd> CreateEventFd() {
  int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return FailErrno(errno, "create an eventfd");
  return UniqueFd(fd);
}

void SignalEventFd(int fd) {
  const uint64_t one = 1;
  // EAGAIN means that the counter is at its top: the reader has a signal waiting in any case.
  [[maybe_unused]] ssize_t written = ::write(fd, &one, sizeof(one));
}

uint64_t DrainEventFd(int fd) {
  uint64_t count = 0;
  return ::read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

}  // namespace berth
