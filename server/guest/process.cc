#include "server/guest/process.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>

#include "host/sysfs.h"

namespace berth::server {
namespace {

tl::unexpected<Error> NotFound(int pid) {
  return Fail(Error(Code::kNotFound, fmt::format("there is no process {} any more", pid))
                  .Reason("PROCESS_NOT_FOUND")
                  .With("pid", std::to_string(pid)));
}

}  // namespace

Result<ProcessChange> DescribeProcess(const std::string& proc, int pid) {
  std::ifstream file(fmt::format("{}/{}/stat", proc, pid));
  const std::string stat(std::istreambuf_iterator<char>(file), {});
  // The second field is the command's name in parentheses and may contain anything; the third follows its
  // last ')'.
  size_t position = stat.rfind(')');
  if (position == std::string::npos) return NotFound(pid);
  ++position;
  for (int field = 3; field <= 22 && position != std::string::npos; ++field) {
    position = stat.find(' ', position);
    if (position != std::string::npos) ++position;
  }
  ProcessChange process{.pid = pid};
  if (position == std::string::npos ||
      std::from_chars(stat.data() + position, stat.data() + stat.size(), process.start_time).ec !=
          std::errc()) {
    return Fail(Code::kInternal, "{}/{}/stat cannot be read", proc, pid);
  }
  return process;
}

Result<UniqueFd> OpenProcess(const std::string& proc, const ProcessChange& process) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!fd) return errno == ESRCH ? NotFound(process.pid) : FailErrno(errno, "open process {}", process.pid);
  // Asked after the descriptor is open, so that the answer is about what it refers to.
  if (TRY(DescribeProcess(proc, process.pid)) != process) return NotFound(process.pid);
  return fd;
}

bool HasThread(const std::string& proc, int pid, int tid) {
  return tid > 0 && ::access(fmt::format("{}/{}/task/{}", proc, pid, tid).c_str(), F_OK) == 0;
}

std::vector<int> ThreadsOf(const std::string& proc, int pid) {
  std::vector<int> threads;
  for (const std::string& name : host::SysfsDirectory(fmt::format("{}/{}/task", proc, pid)).Names()) {
    if (const auto tid = host::ParseNumber(name); tid && *tid > 0 && *tid <= INT32_MAX)
      threads.push_back(static_cast<int>(*tid));
  }
  return threads;
}

Status EndProcess(const std::string& proc, const ProcessChange& process, int timeout_ms) {
  Result<UniqueFd> fd = OpenProcess(proc, process);
  if (!fd) return fd.error().code() == Code::kNotFound ? Ok() : Fail(fd.error());
  if (::syscall(SYS_pidfd_send_signal, fd->get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH) {
    return FailErrno(errno, "end process {}", process.pid);
  }
  pollfd ended{.fd = fd->get(), .events = POLLIN, .revents = 0};
  int ready;
  do {
    ready = ::poll(&ended, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    return Fail(Error(Code::kDeadlineExceeded, fmt::format("process {} does not end", process.pid))
                    .Reason("PROCESS_DOES_NOT_END")
                    .With("pid", std::to_string(process.pid)));
  }
  // Ours to reap if we started it; else its parent's.
  siginfo_t ignored{};
  ::waitid(static_cast<idtype_t>(3 /* P_PIDFD */), static_cast<id_t>(fd->get()), &ignored, WEXITED | WNOHANG);
  return Ok();
}

}  // namespace berth::server
