#include "server/guest/vmm.h"

#include <sys/socket.h>

#include <cerrno>

namespace berth::server {
namespace {
constexpr std::chrono::seconds kLastWordsTime{2};
}

Result<std::unique_ptr<Vmm>> Vmm::Attach(EventLoop& loop, Parts parts, Callbacks callbacks) {
  std::unique_ptr<Vmm> vmm(new Vmm(loop, parts, std::move(callbacks)));
  vmm->log_ = std::move(parts.log);
  Vmm* const raw = vmm.get();
  vmm->connection_ = TRY(VmmConnection::Create(
      loop, std::move(parts.socket),
      {.on_event = [raw](const control::Event& event) { raw->callbacks_.on_event(event); },
       .on_closed = [raw](const Error& why) { raw->OnGone(why); }}));
  Status watched = Ok();
  loop.Call(
      [&] { watched = loop.Watch(raw->pidfd_.get(), EPOLLIN, [raw](uint32_t) { raw->OnProcessEnded(); }); });
  TRY(std::move(watched));
  return vmm;
}

Vmm::~Vmm() {
  loop_.Call([this] {
    loop_.Unwatch(pidfd_.get());
    if (last_words_ != 0) loop_.Cancel(last_words_);
    gone_ = true;
  });
}

void Vmm::OnProcessEnded() {
  loop_.Unwatch(pidfd_.get());
  // What it said last is still in the socket, and then comes its end. Unless somebody else has that too.
  last_words_ = loop_.At(EventLoop::Clock::now() + kLastWordsTime, [this] {
    last_words_ = 0;
    OnGone(Error(Code::kUnavailable, "the VMM's process has ended").Reason("VMM_GONE"));
  });
}

void Vmm::OnGone(const Error& why) {
  if (gone_) return;
  gone_ = true;
  loop_.Unwatch(pidfd_.get());
  if (last_words_ != 0) loop_.Cancel(last_words_);
  last_words_ = 0;
  callbacks_.on_gone(why);
}

Result<control::Reply> Vmm::Call(control::Request request, const std::vector<int>& fds,
                                 std::chrono::milliseconds timeout) {
  return connection_->Call(std::move(request), fds, timeout);
}

Result<UniqueFd> Vmm::AttachConsole() {
  control::Request request;
  request.mutable_attach_console()->set_stream_fd(0);
  return AttachStream(std::move(request));
}

Result<UniqueFd> Vmm::AttachAgent() {
  control::Request request;
  request.mutable_attach_agent()->set_stream_fd(0);
  return AttachStream(std::move(request));
}

Result<UniqueFd> Vmm::AttachStream(control::Request request) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return FailErrno(errno, "create a stream's sockets");
  UniqueFd ours(fds[0]), theirs(fds[1]);
  TRY(Call(std::move(request), {theirs.get()}));
  return ours;
}

}  // namespace berth::server
