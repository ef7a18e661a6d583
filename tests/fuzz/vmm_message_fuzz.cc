// The daemon's side of the control channel: a VMM that a guest has taken over says anything at all.
#include <fcntl.h>

#include "base/socket.h"
#include "server/guest/vmm_connection.h"
#include "tests/fuzz/fuzz_input.h"

namespace berth::server {
namespace {

constexpr size_t kMaxMessages = 32;

bool IsPrintable(const std::string& text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return true;
}

// A reply or an event with this as its content; or bytes as they are.
std::string MessageFrom(FuzzInput* input) {
  const auto shape = input->Take<uint8_t>() % 4;
  const auto content = input->TakeBytes(input->Take<uint8_t>() & 0x7f);
  const std::string bytes(content.begin(), content.end());
  if (shape == 0) return bytes;
  return std::string{static_cast<char>((shape & 1 ? 1 : 2) << 3 | 2), static_cast<char>(bytes.size())} +
         bytes;
}

void Turn(EventLoop* loop) {
  loop->Post([loop] { loop->Stop(); });
  loop->Run();
}

}  // namespace
}  // namespace berth::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  using namespace berth::server;
  FuzzInput input(data, size);
  const auto loop = *EventLoop::Create();
  auto [ours, vmm] = *CreateSocketPair();
  CHECK(::fcntl(vmm.get(), F_SETFL, O_NONBLOCK) == 0);
  int closed = 0;
  const auto connection = *VmmConnection::Create(
      *loop, std::move(ours),
      {.on_event =
           [&](const control::Event& event) {
             CHECK(closed == 0 && IsPrintable(event.text()) && IsPrintable(event.device_id()));
           },
       .on_closed = [&](const Error& why) { CHECK(++closed == 1 && !why.reason().empty()); }});
  for (size_t i = 0; i < kMaxMessages && !input.empty(); ++i) {
    const UniqueFd stray = *CreateEventFd();
    std::vector<int> fds(input.Take<uint8_t>() % 8 == 0 ? 1 : 0, stray.get());
    if (!SendMessage(vmm.get(), MessageFrom(&input), fds)) break;
    Turn(loop.get());
  }
  vmm.Reset();
  Turn(loop.get());
  CHECK(closed == 1);
  return 0;
}
