#include "host/control/sysfs_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "host/control/trace.h"

namespace berth::host {
namespace {

// In the child, between fork and exit: system calls only, as another thread may have held any lock at the
// fork.
[[noreturn]] void WriteAndExit(int fd, const char* bytes, size_t size) {
  // What the parent holds must not live on in a child that the kernel keeps: an inherited VFIO descriptor
  // would be just what the unbind waits for.
  if (fd != 0 && ::dup2(fd, 0) != 0) ::_exit(errno);
  ::syscall(SYS_close_range, 1u, ~0u, 0u);
  const ssize_t written = ::write(0, bytes, size);
  // An exit status has 8 bits; what is larger (ENOTSUPP leaks from some drivers) is of no use to anybody.
  ::_exit(written < 0 ? (errno < 256 ? errno : EIO) : 0);
}

// Whether the child ended within the time.
bool EndsWithin(pid_t child, std::chrono::milliseconds timeout) {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0u)));
  if (!pidfd) return false;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  pollfd wait{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const int ready = ::poll(&wait, 1, static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT32_MAX)));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

class KernelWriter final : public SysfsWriter {
 public:
  int Write(const std::string& path, std::string_view value, std::chrono::milliseconds timeout) override {
    const int error = WriteInChild(path, value, timeout);
    trace::host_write(path, value, error);
    return error;
  }
  int MakeDirectory(const std::string& path) override {
    const int error = ::mkdir(path.c_str(), 0755) == 0 ? 0 : errno;
    trace::host_make_directory(path, error);
    return error;
  }
  int RemoveDirectory(const std::string& path) override {
    const int error = ::rmdir(path.c_str()) == 0 ? 0 : errno;
    trace::host_remove_directory(path, error);
    return error;
  }

 private:
  int WriteInChild(const std::string& path, std::string_view value, std::chrono::milliseconds timeout) {
    CollectLeftBehind();
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
    if (!file) return errno;
    // _Fork runs no handlers of libraries that expect a child to go on.
    const pid_t child = ::_Fork();
    if (child < 0) return errno;
    if (child == 0) WriteAndExit(file.get(), value.data(), value.size());
    if (!EndsWithin(child, timeout)) {
      ::kill(child, SIGKILL);  // Ends it where the kernel's wait can be interrupted.
      MutexLock lock(mutex_);
      left_behind_.push_back(child);
      return ETIMEDOUT;
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
      if (errno != EINTR) return errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
  }

  // Children the kernel did not let go in time, should it have done so since.
  void CollectLeftBehind() {
    MutexLock lock(mutex_);
    std::erase_if(left_behind_, [](pid_t child) { return ::waitpid(child, nullptr, WNOHANG) != 0; });
  }

  Mutex mutex_;
  std::vector<pid_t> left_behind_ GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<SysfsWriter> CreateSysfsWriter() { return std::make_unique<KernelWriter>(); }

}  // namespace berth::host
