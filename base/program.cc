#include "base/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "base/unique_fd.h"

namespace berth {
namespace {

using Clock = std::chrono::steady_clock;

// What was killed and does not end hangs in the kernel: it is left there, as whoever waits for it would be.
constexpr std::chrono::seconds kDyingTime{5};

constexpr std::array kEnvironment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                     "LC_ALL=C"};

struct Stream {
  UniqueFd read, write;
  std::string text;
};

Result<Stream> OpenStream() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return FailErrno(errno, "make a pipe");
  Stream stream{.read = UniqueFd(fds[0]), .write = UniqueFd(fds[1]), .text = {}};
  ::fcntl(stream.read.get(), F_SETFL, O_NONBLOCK);
  return stream;
}

// What there is now. False at its end.
bool Drain(Stream* stream) {
  std::array<char, 64 << 10> buffer;
  while (stream->text.size() <= kMaxProgramOutputBytes) {
    const ssize_t count = ::read(stream->read.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 && errno == EAGAIN;
    stream->text.append(buffer.data(), static_cast<size_t>(count));
  }
  return true;
}

Result<pid_t> Spawn(const std::vector<std::string>& words, int output, int errors) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::vector<char*> environment;
  for (const char* variable : kEnvironment) environment.push_back(const_cast<char*>(variable));
  environment.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  pid_t pid = -1;
  const int error =
      ::posix_spawn(&pid, arguments[0], &actions, &attributes, arguments.data(), environment.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return FailErrno(error, "run {}", words[0]);
  return pid;
}

// Its status; nothing if it runs still.
std::optional<int> Reap(pid_t pid, int flags) {
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(pid, &status, flags)) < 0 && errno == EINTR) {
  }
  if (ended != pid) return std::nullopt;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int MillisecondsUntil(Clock::time_point when) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now());
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

void Kill(pid_t pid, int pidfd) {
  ::kill(-pid, SIGKILL);
  const Clock::time_point until = Clock::now() + kDyingTime;
  pollfd ends{.fd = pidfd, .events = POLLIN, .revents = 0};
  while (::poll(&ends, 1, MillisecondsUntil(until)) < 0 && errno == EINTR) {
  }
  (void)Reap(pid, WNOHANG);
}

}  // namespace

Result<ProgramResult> RunProgram(const std::vector<std::string>& words, std::chrono::milliseconds timeout) {
  Stream output = TRY(OpenStream()), errors = TRY(OpenStream());
  const pid_t pid = TRY(Spawn(words, output.write.get(), errors.write.get()));
  output.write.Reset();
  errors.write.Reset();
  // Nobody else waits for it, so that the number is its own.
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const Clock::time_point deadline = Clock::now() + timeout;
  std::array<pollfd, 3> polls{{{.fd = output.read.get(), .events = POLLIN, .revents = 0},
                               {.fd = errors.read.get(), .events = POLLIN, .revents = 0},
                               {.fd = pidfd.get(), .events = POLLIN, .revents = 0}}};
  while (true) {
    const int left = MillisecondsUntil(deadline);
    const bool too_much = std::max(output.text.size(), errors.text.size()) > kMaxProgramOutputBytes;
    if (left == 0 || too_much || !pidfd) {
      Kill(pid, pidfd.get());
      if (too_much)
        return Fail(Code::kResourceExhausted, "{} printed more than {} bytes", words[0],
                    kMaxProgramOutputBytes);
      return Fail(Code::kDeadlineExceeded, "{} did not end within {} ms and was killed", words[0],
                  timeout.count());
    }
    (void)::poll(polls.data(), polls.size(), left);
    const auto status = Reap(pid, WNOHANG);
    if (!Drain(&output)) polls[0].fd = -1;
    if (!Drain(&errors)) polls[1].fd = -1;
    if (status) return ProgramResult{*status, std::move(output.text), std::move(errors.text)};
  }
}

}  // namespace berth
