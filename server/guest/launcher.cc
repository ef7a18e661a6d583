#include "server/guest/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/mutex.h"
#include "base/socket.h"
#include "server/guest/confine.h"

namespace berth::server {
namespace {

struct Pipe {
  UniqueFd read, write;
};

Result<Pipe> CreatePipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return FailErrno(errno, "create a pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

tl::unexpected<Error> NotStarted(std::string message) {
  return Fail(Error(Code::kFailedPrecondition, fmt::format("the VMM was not started: {}", message))
                  .Reason("VMM_NOT_STARTED"));
}

void KillAndReap(pid_t pid) {
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// Lets the child go on and waits until it is the program, or has said why not.
Status AwaitExec(const UniqueFd& go, int error_fd) {
  const char byte = 1;
  if (::write(go.get(), &byte, 1) != 1) return NotStarted("it is gone");
  ChildFailure failure{};
  ssize_t received;
  do {
    received = ::read(error_fd, &failure, sizeof(failure));
  } while (received < 0 && errno == EINTR);
  if (received == 0) return Ok();
  failure.step[sizeof(failure.step) - 1] = '\0';
  return NotStarted(fmt::format("{}: {}", failure.step, std::strerror(failure.error)));
}

}  // namespace

Result<LaunchedVmm> Launch(const LaunchRequest& request, const std::function<Status(pid_t)>& before_exec) {
  // One at a time: no other new process holds this one's pipes.
  static constinit Mutex mutex;
  MutexLock lock(mutex);
  Result<UniqueFd> program = Open(request.program, O_PATH);
  if (!program) return NotStarted(program.error().message());
  const UniqueFd null = TRY(Open("/dev/null", O_RDWR));
  auto [ours, theirs] = TRY(CreateSocketPair());
  Pipe go = TRY(CreatePipe());
  Pipe error = TRY(CreatePipe());

  std::array<std::string, 5> words{"berth-vmm", "-name", request.name, "-uuid", request.uuid};
  char* const arguments[] = {words[0].data(), words[1].data(), words[2].data(),
                             words[3].data(), words[4].data(), nullptr};
  char* const environment[] = {nullptr};
  const ChildSetup setup{.program_fd = program->get(),
                         .null_fd = null.get(),
                         .log_fd = request.log_fd >= 0 ? request.log_fd : null.get(),
                         .control_fd = theirs.get(),
                         .go_fd = go.read.get(),
                         .error_fd = error.write.get(),
                         .root = request.runtime_dir.c_str(),
                         .arguments = arguments,
                         .environment = environment,
                         .limits = request.limits,
                         .confinement = request.confinement};
  const pid_t pid = ::fork();
  if (pid < 0) return FailErrno(errno, "start a process");
  if (pid == 0) {
    // The parent's copy of the other end must not keep the pipe open once the parent is gone.
    ::close(go.write.get());
    RunChild(setup);
  }
  error.write.Reset();
  theirs.Reset();
  LaunchedVmm launched{.pid = pid,
                       .pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))),
                       .socket = std::move(ours)};
  Status started = launched.pidfd ? before_exec(pid) : Status(FailErrno(errno, "open process {}", pid));
  if (started) started = AwaitExec(go.write, error.read.get());
  if (started) return launched;
  KillAndReap(pid);
  return Fail(std::move(started).error());
}

}  // namespace berth::server
