// The VMM's side of the control channel: requests that are no requests, of every kind, with descriptors that
// are something else. There is no KVM behind it, so no machine is ever built.
#include <fcntl.h>
#include <sys/mman.h>

#include "base/log.h"
#include "tests/fuzz/fuzz_input.h"
#include "vmm/control_server.h"

namespace berth::vmm {
namespace {

constexpr size_t kMaxMessages = 16;
constexpr unsigned kMaxFds = 4;

// A request of a kind that is in the oneof (fields 2 to 15) or near it, with this as its content; or bytes as
// they are.
std::string Request(FuzzInput* input) {
  const auto shape = input->Take<uint8_t>() % 16;
  const auto content = input->TakeBytes(input->Take<uint8_t>());
  std::string bytes(content.begin(), content.end());
  if (shape == 0) return bytes;
  std::string request = {static_cast<char>(shape << 3 | 2), static_cast<char>(bytes.size() & 0x7f)};
  return request + bytes.substr(0, bytes.size() & 0x7f);
}

std::vector<UniqueFd> OddDescriptors(FuzzInput* input) {
  std::vector<UniqueFd> fds;
  for (unsigned i = input->Take<uint8_t>() % kMaxFds; i > 0; --i) {
    switch (input->Take<uint8_t>() % 3) {
      case 0:
        fds.push_back(*CreateEventFd());
        break;
      case 1:
        fds.emplace_back(::memfd_create("fuzz", MFD_CLOEXEC));
        break;
      default:
        fds.push_back(std::move(CreateSocketPair()->first));
    }
  }
  return fds;
}

void Turn(EventLoop* loop) {
  loop->Post([loop] { loop->Stop(); });
  loop->Run();
}

// Every reply is one that berthd can read.
void ReadReplies(int socket) {
  while (Result<Message> message = ReceiveMessage(socket)) {
    v1::FromVmm from;
    CHECK(from.ParseFromString(message->bytes) && from.has_reply() && message->fds.empty());
    CHECK(from.reply().code() == 0 || !from.reply().message().empty());
  }
}

}  // namespace
}  // namespace berth::vmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  using namespace berth::vmm;
  SetLogSink([](LogLevel, std::string_view) {});
  FuzzInput input(data, size);
  const auto loop = *EventLoop::Create();
  ControlServer server(loop.get());
  UniqueFd daemon;
  for (size_t i = 0; i < kMaxMessages && !input.empty(); ++i) {
    if (!daemon || input.Take<uint8_t>() % 16 == 0) {
      auto [ours, theirs] = *CreateSocketPair();
      CHECK(::fcntl(ours.get(), F_SETFL, O_NONBLOCK) == 0);
      daemon = std::move(ours);
      if (!server.Serve(std::move(theirs))) return 0;  // As many as it takes.
    }
    const std::vector<UniqueFd> fds = OddDescriptors(&input);
    std::vector<int> borrowed;
    for (const UniqueFd& fd : fds) borrowed.push_back(fd.get());
    if (!SendMessage(daemon.get(), Request(&input), borrowed)) daemon.Reset();
    Turn(loop.get());
    if (daemon) ReadReplies(daemon.get());
  }
  return 0;
}
