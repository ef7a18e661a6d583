#include "vmm/agent_channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace berth::vmm {
namespace {

constexpr auto kInputRetry = std::chrono::milliseconds(10);

}  // namespace

AgentChannel::~AgentChannel() {
  if (stream_) loop_->Unwatch(stream_.get());
  if (retry_ != 0) loop_->Cancel(retry_);
}

Status AgentChannel::Attach(UniqueFd stream) {
  if (!port_.is_open) {
    return Fail(
        Error(Code::kFailedPrecondition, "the machine has no port for an agent").Reason("NO_AGENT_PORT"));
  }
  if (!port_.is_open()) {
    return Fail(
        Error(Code::kFailedPrecondition,
              "nobody in the guest has the agent's port open: qemu-guest-agent must be installed there, "
              "and run")
            .Reason("AGENT_NOT_RUNNING"));
  }
  Drop();
  TRY(loop_->Watch(stream.get(), EPOLLIN, [this](uint32_t events) { Serve(events); }));
  stream_ = std::move(stream);
  return Ok();
}

void AgentChannel::Drop() {
  if (!stream_) return;
  loop_->Unwatch(stream_.get());
  stream_.Reset();
  if (retry_ != 0) loop_->Cancel(retry_);
  retry_ = 0;
  from_guest_.clear();
  to_guest_.clear();
  port_.hold(false);
}

void AgentChannel::Output(std::span<const uint8_t> bytes) {
  if (!stream_) return;
  from_guest_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  ToUser();
}

void AgentChannel::Serve(uint32_t events) {
  if (events & EPOLLOUT) ToUser();
  if (!stream_ || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  char buffer[1024];
  const ssize_t got = ::read(stream_.get(), buffer, sizeof(buffer));
  if (got > 0) {
    to_guest_.append(buffer, static_cast<size_t>(got));
    ToGuest();
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    Drop();
  }
}

void AgentChannel::ToUser() {
  while (!from_guest_.empty()) {
    const ssize_t sent = ::send(stream_.get(), from_guest_.data(), from_guest_.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      from_guest_.erase(0, static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      return Drop();
    }
  }
  port_.hold(from_guest_.size() >= kMaxFromGuest);
  Watch();
}

void AgentChannel::ToGuest() {
  to_guest_.erase(0, port_.input({reinterpret_cast<const uint8_t*>(to_guest_.data()), to_guest_.size()}));
  if (!to_guest_.empty() && retry_ == 0) {
    retry_ = loop_->At(EventLoop::Clock::now() + kInputRetry, [this] {
      retry_ = 0;
      ToGuest();
    });
  }
  Watch();
}

void AgentChannel::Watch() {
  const uint32_t events = (to_guest_.size() < kMaxToGuest ? uint32_t{EPOLLIN} : 0u) |
                          (from_guest_.empty() ? 0u : uint32_t{EPOLLOUT});
  if (!loop_->Rewatch(stream_.get(), events)) Drop();
}

}  // namespace berth::vmm
