#include "server/agent/guest_agent.h"

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "server/agent/agent_reply.h"

namespace berth::server {
namespace {

// No byte of JSON, nor of UTF-8: it resets a parser, and marks the answer to guest-sync-delimited.
constexpr char kDelimiter = '\xff';

tl::unexpected<Error> Gone() {
  return Fail(Error(Code::kUnavailable, "the guest's agent is gone").Reason("AGENT_GONE"));
}

// That nobody has used lately, and the guest cannot have guessed: it might have written an answer before.
int64_t NewId() {
  uint32_t id = 0;
  CHECK(::getrandom(&id, sizeof(id), 0) == sizeof(id));
  return id;
}

}  // namespace

std::string GuestAgent::Encode(std::string_view command) {
  return fmt::format("{{\"execute\": \"{}\"}}\n", command);
}

std::string GuestAgent::EncodeSync(int64_t id) {
  return fmt::format("{}{{\"execute\": \"guest-sync-delimited\", \"arguments\": {{\"id\": {}}}}}\n",
                     kDelimiter, id);
}

Status GuestAgent::Wait(short events, Clock::time_point deadline) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd polled{.fd = stream_.get(), .events = events, .revents = 0};
    const int ready = ::poll(&polled, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready > 0) return Ok();
    if (ready < 0 && errno != EINTR) return FailErrno(errno, "wait for a guest's agent");
    if (Clock::now() >= deadline) {
      return Fail(
          Error(Code::kDeadlineExceeded, "the guest's agent does not answer").Reason("AGENT_TIMED_OUT"));
    }
  }
}

Status GuestAgent::Send(std::string_view bytes, Clock::time_point deadline) {
  while (!bytes.empty()) {
    TRY(Wait(POLLOUT, deadline));
    const ssize_t sent = ::send(stream_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
      return Gone();
    }
  }
  return Ok();
}

Result<std::string> GuestAgent::TakeLine(Clock::time_point deadline) {
  size_t end;
  for (size_t from = 0; (end = said_.find('\n', from)) == said_.npos;) {
    from = said_.size();
    if (from > kMaxAgentReplyBytes) return Fail(AgentProtocolError("an answer of more than 64 KiB"));
    TRY(Wait(POLLIN, deadline));
    char bytes[4096];
    const ssize_t got = ::recv(stream_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got > 0) {
      said_.append(bytes, static_cast<size_t>(got));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      return Gone();
    }
  }
  std::string line = said_.substr(0, end);
  said_.erase(0, end + 1);
  return line;
}

// What was on its way before comes first: answers to others, and what the agent makes of the delimiter.
Status GuestAgent::AwaitSync(int64_t id, Clock::time_point deadline) {
  for (size_t skipped = 0; skipped <= kMaxSkippedBytes;) {
    const std::string line = TRY(TakeLine(deadline));
    skipped += line.size() + 1;
    const size_t delimiter = line.rfind(kDelimiter);
    if (delimiter == line.npos) continue;
    const auto answer = ParseAgentReply(std::string_view(line).substr(delimiter + 1));
    if (answer && *answer == id) return Ok();
  }
  return Fail(AgentProtocolError("it says too much before it answers"));
}

Status GuestAgent::Synchronize(std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  const int64_t id = NewId();
  TRY(Send(EncodeSync(id), deadline));
  return AwaitSync(id, deadline);
}

Result<int64_t> GuestAgent::Ask(std::string_view command, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  TRY(Send(Encode(command), deadline));
  return Context(ParseAgentReply(TRY(TakeLine(deadline))), command);
}

Result<int64_t> GuestAgent::Insist(std::string_view command, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  const int64_t id = NewId();
  TRY(Send(EncodeSync(id) + Encode(command), deadline));
  TRY(AwaitSync(id, deadline));
  return Context(ParseAgentReply(TRY(TakeLine(deadline))), command);
}

}  // namespace berth::server
