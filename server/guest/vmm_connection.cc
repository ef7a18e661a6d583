#include "server/guest/vmm_connection.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>

#include "base/socket.h"
#include "proto/error_details.h"

namespace berth::server {
namespace {

// A VMM may send so many messages at once, and as many in a second from then on; after that it waits.
constexpr uint32_t kMessageBurst = 1000;
constexpr std::chrono::milliseconds kRefillTime{1000};
// A VMM that does not read for so long is as good as gone.
constexpr timeval kSendTimeout{.tv_sec = 5, .tv_usec = 0};
constexpr size_t kMaxTextBytes = 1024;
constexpr size_t kMaxReasonBytes = 63;

Error Gone(std::string_view message) {
  return Error(Code::kUnavailable, std::string(message)).Reason("VMM_GONE");
}

bool IsReason(const std::string& reason) {
  return reason.size() <= kMaxReasonBytes && std::all_of(reason.begin(), reason.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
         });
}

Error ReplyError(const control::Reply& reply) {
  Error error(static_cast<Code>(reply.code()), Printable(reply.message(), kMaxTextBytes));
  return std::move(error).Reason(reply.reason());
}

}  // namespace

Error VmmProtocolError(std::string_view message) {
  return Error(Code::kInternal, fmt::format("the VMM broke the protocol: {}", message))
      .Reason("VMM_PROTOCOL_ERROR");
}

Result<std::unique_ptr<VmmConnection>> VmmConnection::Create(EventLoop& loop, UniqueFd socket,
                                                             Callbacks callbacks) {
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof(kSendTimeout));
  std::unique_ptr<VmmConnection> connection(new VmmConnection(loop, std::move(socket), std::move(callbacks)));
  Status watched = Ok();
  loop.Call([&] { watched = connection->Watch(); });
  TRY(std::move(watched));
  return connection;
}

VmmConnection::~VmmConnection() {
  loop_.Call([this] {
    if (pause_ != 0) loop_.Cancel(pause_);
    if (open_) loop_.Unwatch(socket_.get());
    open_ = false;
  });
}

Status VmmConnection::Watch() {
  pause_ = 0;
  return loop_.Watch(socket_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); });
}

void VmmConnection::OnReadable() {
  const auto now = EventLoop::Clock::now();
  if (now - refilled_ >= kRefillTime) {
    refilled_ = now;
    budget_ = kMessageBurst;
  }
  if (budget_ == 0) {
    loop_.Unwatch(socket_.get());
    pause_ = loop_.At(refilled_ + kRefillTime, [this] {
      if (Status watched = Watch(); !watched) Close(watched.error());
    });
    return;
  }
  --budget_;
  if (Status received = Receive(); !received) Close(received.error());
}

Status VmmConnection::Receive() {
  const Result<Message> message = ReceiveMessage(socket_.get());
  if (!message) return Fail(Gone(message.error().message()));
  control::FromVmm from;
  if (!from.ParseFromString(message->bytes)) return Fail(VmmProtocolError("a message that cannot be read"));
  switch (from.kind_case()) {
    case control::FromVmm::kReply:
      return Deliver(from.reply());
    case control::FromVmm::kEvent: {
      control::Event& event = *from.mutable_event();
      event.set_text(Printable(event.text(), kMaxTextBytes));
      event.set_device_id(Printable(event.device_id(), kMaxTextBytes));
      callbacks_.on_event(event);
      return Ok();
    }
    case control::FromVmm::KIND_NOT_SET:
      return Ok();  // Of a later version of the protocol.
  }
  return Ok();
}

Status VmmConnection::Deliver(const control::Reply& reply) {
  if (reply.code() < 0 || reply.code() > static_cast<int>(Code::kDataLoss) || !IsReason(reply.reason())) {
    return Fail(VmmProtocolError("a reply with an unknown code or an impossible reason"));
  }
  MutexLock lock(mutex_);
  if (reply.id() >= next_id_) return Fail(VmmProtocolError("a reply to what was not asked"));
  const auto waiting = waiting_.find(reply.id());
  if (waiting == waiting_.end()) return Ok();  // Too late: nobody waits for it any more.
  Result<control::Reply> result = reply;
  if (reply.code() != 0) result = Fail(ReplyError(reply));
  waiting->second.set_value(std::move(result));
  waiting_.erase(waiting);
  return Ok();
}

void VmmConnection::Close(const Error& reason) {
  if (!open_) return;
  open_ = false;
  loop_.Unwatch(socket_.get());
  // Whatever still sends finds out.
  ::shutdown(socket_.get(), SHUT_RDWR);
  {
    MutexLock lock(mutex_);
    closed_ = true;
    for (auto& [id, promise] : waiting_) promise.set_value(Fail(reason));
    waiting_.clear();
  }
  callbacks_.on_closed(reason);
}

Result<control::Reply> VmmConnection::Call(control::Request request, const std::vector<int>& fds,
                                           std::chrono::milliseconds timeout) {
  std::future<Result<control::Reply>> reply;
  uint64_t id;
  {
    MutexLock lock(mutex_);
    if (closed_) return Fail(Gone("the VMM is gone"));
    id = next_id_++;
    reply = waiting_[id].get_future();
  }
  request.set_id(id);
  const Status sent = SendMessage(socket_.get(), request.SerializeAsString(), fds);
  if (sent && reply.wait_for(timeout) == std::future_status::ready) return reply.get();
  {
    MutexLock lock(mutex_);
    if (waiting_.erase(id) == 0) return reply.get();  // It came, or the connection closed, just now.
  }
  if (!sent) return Fail(Gone(sent.error().message()));
  return Fail(
      Error(Code::kDeadlineExceeded, fmt::format("the VMM did not answer within {} ms", timeout.count()))
          .Reason("VMM_TIMED_OUT"));
}

}  // namespace berth::server
