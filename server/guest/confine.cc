#include "server/guest/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace berth::server {
namespace {

constexpr int kControlFd = 3;   // What the VMM expects its socket at.
constexpr int kProgramFd = 10;  // Close-on-exec; above what the VMM is given, below what is closed.
constexpr int kErrorFd = 11;

[[noreturn]] void Die(int error_fd, const char* step) {
  ChildFailure failure{};
  failure.error = errno;
  std::strncpy(failure.step, step, sizeof(failure.step) - 1);
  [[maybe_unused]] ssize_t written = ::write(error_fd, &failure, sizeof(failure));
  ::_exit(127);
}

bool SetLimit(int resource, uint64_t value) {
  const rlimit limit{.rlim_cur = value, .rlim_max = value};
  return ::setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0;
}

// Signals as a new program expects them, but for SIGPIPE: whoever read from the VMM may be gone.
void ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool EnterEmptyRoot(const char* root) {
  // Nothing we mount is seen elsewhere, nothing mounted elsewhere arrives here.
  return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("none", root, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2,mode=0555") ==
             0 &&
         ::chdir(root) == 0 && ::syscall(SYS_pivot_root, ".", ".") == 0 && ::umount2(".", MNT_DETACH) == 0 &&
         ::chdir("/") == 0 &&
         ::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 nullptr) == 0;
}

// Descriptors 0 to 3 and, until exec, the program's and the error pipe's. No other survives.
bool ArrangeDescriptors(const ChildSetup& setup) {
  // First out of the way of the numbers they are to have.
  const auto above = [](int fd) { return ::fcntl(fd, F_DUPFD_CLOEXEC, 64); };
  const int null = above(setup.null_fd), log = above(setup.log_fd), control = above(setup.control_fd),
            program = above(setup.program_fd), error = above(setup.error_fd);
  if (null < 0 || log < 0 || control < 0 || program < 0 || error < 0) return false;
  return ::dup2(null, 0) >= 0 && ::dup2(null, 1) >= 0 && ::dup2(log, 2) >= 0 &&
         ::dup2(control, kControlFd) >= 0 && ::dup3(program, kProgramFd, O_CLOEXEC) >= 0 &&
         ::dup3(error, kErrorFd, O_CLOEXEC) >= 0 &&
         ::syscall(SYS_close_range, kControlFd + 1, kProgramFd - 1, 0) == 0 &&
         ::syscall(SYS_close_range, kErrorFd + 1, ~0U, 0) == 0;
}

}  // namespace

void RunChild(const ChildSetup& setup) {
  char go = 0;
  ssize_t received;
  do {
    received = ::read(setup.go_fd, &go, 1);
  } while (received < 0 && errno == EINTR);
  if (received != 1) ::_exit(0);

  ResetSignals();
  if (::setsid() < 0) Die(setup.error_fd, "setsid");
  if (!ArrangeDescriptors(setup)) Die(setup.error_fd, "arrange descriptors");
  if (setup.confinement.namespaces &&
      ::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) != 0) {
    Die(kErrorFd, "enter new namespaces");
  }
  if (setup.confinement.empty_root && !EnterEmptyRoot(setup.root)) Die(kErrorFd, "enter an empty root");
  // Guest memory in a core file would be a leak, and large.
  if (!SetLimit(RLIMIT_CORE, 0)) Die(kErrorFd, "limit core files");
  if (setup.confinement.user_and_limits) {
    if (!SetLimit(RLIMIT_MEMLOCK, setup.limits.locked_memory_bytes)) Die(kErrorFd, "limit locked memory");
    if (!SetLimit(RLIMIT_NOFILE, setup.limits.open_files)) Die(kErrorFd, "limit open files");
    const gid_t group = setup.limits.user;
    if (::setgroups(0, nullptr) != 0 || ::setresgid(group, group, group) != 0 ||
        ::setresuid(setup.limits.user, setup.limits.user, setup.limits.user) != 0) {
      Die(kErrorFd, "become its user");
    }
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Die(kErrorFd, "renounce privileges");
  ::syscall(SYS_execveat, kProgramFd, "", setup.arguments, setup.environment, AT_EMPTY_PATH);
  Die(kErrorFd, "execute the program");
}

}  // namespace berth::server
