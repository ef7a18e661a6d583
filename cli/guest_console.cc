#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <ostream>
#include <thread>

#include "base/unique_fd.h"
#include "cli/command.h"

namespace berth::cli {
namespace {

using berth::v1::StreamConsoleRequest;
using berth::v1::StreamConsoleResponse;
using Stream = grpc::ClientReaderWriter<StreamConsoleRequest, StreamConsoleResponse>;

constexpr char kEscape = 0x1d;  // Ctrl-]
constexpr size_t kInputBytes = 4096;

// The terminal passes every key on while this lives.
class RawTerminal {
 public:
  RawTerminal() : raw_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!raw_) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  ~RawTerminal() {
    if (raw_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  bool raw() const { return raw_; }

 private:
  termios before_ = {};
  const bool raw_;
};

// Sends what is typed, until `stop` is signalled, the input ends, or, at a terminal, the escape is typed:
// true for that.
bool SendInput(Stream& stream, int stop, bool terminal) {
  std::array<char, kInputBytes> bytes;
  while (true) {
    std::array<pollfd, 2> waits = {pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{stop, POLLIN, 0}};
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return false;
    if (waits[1].revents != 0) return false;
    if (waits[0].revents == 0) continue;
    const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return stream.WritesDone(), false;
    std::string_view typed(bytes.data(), static_cast<size_t>(count));
    const size_t escape = terminal ? typed.find(kEscape) : std::string_view::npos;
    StreamConsoleRequest request;
    request.set_data(std::string(typed.substr(0, escape)));
    if (!stream.Write(request)) return false;
    if (escape != std::string_view::npos) return true;
  }
}

Status Run(const Invocation& call) {
  const UniqueFd stop = TRY(CreateEventFd());
  StreamConsoleRequest first;
  first.set_name(GuestName(call.arguments[0]));
  grpc::ClientContext context;
  const auto stream = call.connection.stub<GuestService::Stub>().StreamConsole(&context);
  if (!stream->Write(first)) return Fail(call.connection.ToError(stream->Finish()));

  std::atomic<bool> escaped = false;
  {
    const RawTerminal terminal;
    if (terminal.raw()) call.err << "connected; Ctrl-] ends\r\n" << std::flush;
    std::thread input([&] {
      escaped = SendInput(*stream, stop.get(), terminal.raw());
      if (escaped) context.TryCancel();
    });
    StreamConsoleResponse response;
    while (stream->Read(&response)) call.out << response.data() << std::flush;
    SignalEventFd(stop.get());
    input.join();
  }
  const grpc::Status status = stream->Finish();
  if (escaped || status.ok()) return Ok();
  return Fail(call.connection.ToError(status));
}

}  // namespace

const Command kGuestConsole = {.words = "guest console",
                               .arguments = {"GUEST"},
                               .required = 1,
                               .summary = "Use a guest's console; Ctrl-] ends",
                               .run = Run};

}  // namespace berth::cli
