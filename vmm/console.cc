#include "vmm/console.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"

namespace berth::vmm {
namespace {

constexpr auto kTypingRetry = std::chrono::milliseconds(10);
constexpr size_t kMaxFresh = 256 * 1024;  // Between two turns of the loop.
constexpr size_t kMaxTyped = 4096;

}  // namespace

Console::Console(EventLoop* loop, UniqueFd log, UniqueFd wakeup,
                 std::function<size_t(std::span<const uint8_t>)> input)
    : loop_(loop), log_(std::move(log)), wakeup_(std::move(wakeup)), input_(std::move(input)) {}

Result<std::unique_ptr<Console>> Console::Create(EventLoop* loop, UniqueFd log,
                                                 std::function<size_t(std::span<const uint8_t>)> input) {
  std::unique_ptr<Console> console(new Console(loop, std::move(log), TRY(CreateEventFd()), std::move(input)));
  TRY(loop->Watch(console->wakeup_.get(), EPOLLIN, [raw = console.get()](uint32_t) { raw->TakeUp(); }));
  return console;
}

Console::~Console() {
  TakeUp();
  loop_->Unwatch(wakeup_.get());
  for (Client& client : clients_) loop_->Unwatch(client.stream.get());
  if (retry_ != 0) loop_->Cancel(retry_);
}

void Console::Output(std::span<const uint8_t> bytes) {
  bool first;
  {
    MutexLock lock(mutex_);
    first = fresh_.empty();
    const size_t room = kMaxFresh - std::min(fresh_.size(), kMaxFresh);
    fresh_.append(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), room));
  }
  if (first) SignalEventFd(wakeup_.get());
}

void Console::TakeUp() {
  DrainEventFd(wakeup_.get());
  std::string fresh;
  {
    MutexLock lock(mutex_);
    fresh.swap(fresh_);
  }
  if (fresh.empty()) return;
  if (log_ && ::write(log_.get(), fresh.data(), fresh.size()) < 0) {
    LOG_WARNING_LIMITED("the console's log: {}", std::strerror(errno));
  }
  history_ += fresh;
  if (history_.size() > kHistoryBytes) history_.erase(0, history_.size() - kHistoryBytes);
  for (Client& client : clients_) {
    client.out += fresh;
    // Whoever does not read gets the newest part.
    if (client.out.size() > kHistoryBytes) client.out.erase(0, client.out.size() - kHistoryBytes);
    Write(client);
  }
  DropGone();
}

Status Console::Attach(UniqueFd stream) {
  if (clients_.size() >= kMaxClients) {
    return Fail(Error(Code::kResourceExhausted,
                      fmt::format("the console has {} users already, the most it takes", kMaxClients))
                    .Reason("CONSOLE_BUSY"));
  }
  if (::fcntl(stream.get(), F_SETFL, O_NONBLOCK) != 0) return FailErrno(errno, "prepare a console stream");
  clients_.push_back({.stream = std::move(stream), .out = history_, .in = {}});
  Client& client = clients_.back();
  if (Status watched = loop_->Watch(client.stream.get(), EPOLLIN,
                                    [this, &client](uint32_t events) { Serve(client, events); });
      !watched) {
    clients_.pop_back();
    return watched;
  }
  Write(client);
  DropGone();
  return Ok();
}

void Console::Serve(Client& client, uint32_t events) {
  if (events & EPOLLOUT) Write(client);
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    char buffer[1024];
    const ssize_t got = ::read(client.stream.get(), buffer, sizeof(buffer));
    if (got > 0) {
      client.in.append(buffer, static_cast<size_t>(got));
      Type(client);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      client.gone = true;
    }
  }
  DropGone();
}

void Console::Write(Client& client) {
  while (!client.out.empty() && !client.gone) {
    const ssize_t sent = ::send(client.stream.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      client.out.erase(0, static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      client.gone = true;
    }
  }
  Watch(client);
}

void Console::Type(Client& client) {
  if (!client.in.empty()) {
    const size_t taken = input_({reinterpret_cast<const uint8_t*>(client.in.data()), client.in.size()});
    client.in.erase(0, taken);
  }
  if (!client.in.empty() && retry_ == 0) {
    retry_ = loop_->At(EventLoop::Clock::now() + kTypingRetry, [this] { RetryTyping(); });
  }
  Watch(client);
}

void Console::RetryTyping() {
  retry_ = 0;
  for (Client& client : clients_) Type(client);
}

void Console::Watch(Client& client) {
  if (client.gone) return;
  const uint32_t events = (client.in.size() < kMaxTyped ? uint32_t{EPOLLIN} : 0u) |
                          (client.out.empty() ? 0u : uint32_t{EPOLLOUT});
  if (!loop_->Rewatch(client.stream.get(), events)) client.gone = true;
}

void Console::DropGone() {
  for (const Client& client : clients_) {
    if (client.gone) loop_->Unwatch(client.stream.get());
  }
  clients_.remove_if([](const Client& client) { return client.gone; });
}

}  // namespace berth::vmm
