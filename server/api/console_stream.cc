#include "server/api/console_stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "server/api/grpc_status.h"
#include "server/guest/verbs.h"

namespace berth::server {
namespace {

constexpr size_t kMaxInputBytes = 64 * 1024;
constexpr size_t kOutputBytes = 16 * 1024;

// gRPC's callbacks only pass things on: all else happens on the engine's loop, but for opening the console,
// which asks the VMM and waits.
class ConsoleStream final : public ConsoleReactor {
 public:
  ConsoleStream(Engine& engine, Result<CallLimit::Place> place) : engine_(engine), place_(std::move(place)) {
    if (!place_) {
      finished_ = true;
      Finish(ToGrpcStatus(place_.error()));
      return;
    }
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!opened_) {
      opened_ = true;
      if (!ok) return engine_.loop.Post([this] { End(Missing()); });
      opening_ = true;
      if (engine_.operations.Background([this] { Open(); })) return;
      opening_ = false;
      return engine_.loop.Post([this] { End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down")); });
    }
    engine_.loop.Post([this, ok] { OnInput(ok); });
  }
  void OnWriteDone(bool ok) override {
    engine_.loop.Post([this, ok] {
      writing_ = false;
      if (!ok) return End(grpc::Status::CANCELLED);
      UpdateWatch();
    });
  }
  void OnCancel() override {
    engine_.loop.Post([this] { End(grpc::Status::CANCELLED); });
  }
  // The last callback: what was posted before it has run when this does.
  void OnDone() override {
    engine_.loop.Post([this] {
      if (opening_) {
        done_ = true;  // Open deletes it.
      } else {
        delete this;
      }
    });
  }

 private:
  static grpc::Status Missing() {
    return ToGrpcStatus(Error(Code::kInvalidArgument, "the first message names the guest")
                            .Reason("REQUIRED_FIELD")
                            .Field("name"));
  }

  // On a thread of its own.
  void Open() {
    const auto shared = std::make_shared<Result<UniqueFd>>(OpenConsole(engine_, request_.name()));
    engine_.loop.Post([this, shared] { OnOpened(*shared); });
  }

  // From here on: on the loop.
  void OnOpened(Result<UniqueFd>& socket) {
    opening_ = false;
    if (done_) {
      delete this;
      return;
    }
    if (finished_) return;
    if (!socket) return End(ToGrpcStatus(socket.error()));
    socket_ = *std::move(socket);
    ::fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
    OnInput(true);
  }

  void OnInput(bool ok) {
    if (finished_ || !ok) return;  // A caller that sends no more may still listen.
    if (request_.data().size() > kMaxInputBytes) {
      return End(ToGrpcStatus(Error(Code::kInvalidArgument, "more than 64 KiB in a message")
                                  .Reason("INVALID_FIELD")
                                  .Field("data")));
    }
    sent_ = 0;
    has_input_ = true;
    SendInput();
    if (!finished_) UpdateWatch();
  }

  void SendInput() {
    const std::string& data = request_.data();
    while (sent_ < data.size()) {
      const ssize_t count = ::send(socket_.get(), data.data() + sent_, data.size() - sent_, MSG_NOSIGNAL);
      if (count < 0 && errno == EAGAIN) return;
      if (count < 0) return End(grpc::Status::OK);
      sent_ += static_cast<size_t>(count);
    }
    has_input_ = false;
    StartRead(&request_);
  }

  void OnReady(uint32_t events) {
    if (has_input_ && (events & EPOLLOUT) != 0) SendInput();
    if (!finished_ && !writing_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) ReadOutput();
    if (!finished_) UpdateWatch();
  }

  void ReadOutput() {
    std::array<char, kOutputBytes> bytes;
    const ssize_t count = ::read(socket_.get(), bytes.data(), bytes.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return End(grpc::Status::OK);  // The guest has ended.
    response_.set_data(bytes.data(), static_cast<size_t>(count));
    writing_ = true;
    StartWrite(&response_);
  }

  // Waits for what can be dealt with, and for nothing else: an end of file is level-triggered too.
  void UpdateWatch() {
    if (!socket_) return;
    uint32_t wanted = 0;
    if (!finished_ && !writing_) wanted |= EPOLLIN;
    if (!finished_ && has_input_) wanted |= EPOLLOUT;
    if (wanted == watched_) return;
    if (wanted == 0) {
      engine_.loop.Unwatch(socket_.get());
    } else if (watched_ == 0) {
      (void)engine_.loop.Watch(socket_.get(), wanted, [this](uint32_t events) { OnReady(events); });
    } else {
      (void)engine_.loop.Rewatch(socket_.get(), wanted);
    }
    watched_ = wanted;
  }

  void End(const grpc::Status& status) {
    if (finished_) return;
    finished_ = true;
    UpdateWatch();
    Finish(status);
  }

  Engine& engine_;
  Result<CallLimit::Place> place_;
  v1::StreamConsoleRequest request_;
  v1::StreamConsoleResponse response_;
  bool opened_ = false;  // gRPC's callbacks only, of which reads come one at a time.

  // On the loop; `opening_` is set before anything is posted.
  bool opening_ = false;
  bool done_ = false;
  bool finished_ = false;
  bool writing_ = false;
  bool has_input_ = false;
  size_t sent_ = 0;
  uint32_t watched_ = 0;
  UniqueFd socket_;
};

}  // namespace

ConsoleReactor* StartConsoleStream(Engine& engine, Result<CallLimit::Place> place) {
  return new ConsoleStream(engine, std::move(place));
}

}  // namespace berth::server
