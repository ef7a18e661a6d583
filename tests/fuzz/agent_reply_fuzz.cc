// What a guest's agent answers, as the guest likes it; and in a conversation.
#include <sys/socket.h>
#include <unistd.h>

#include "server/agent/agent_reply.h"
#include "server/agent/guest_agent.h"

namespace berth::server {
namespace {

constexpr std::chrono::seconds kTimeout{60};

// An agent that has said this already, and says no more.
UniqueFd StreamOf(std::string_view said) {
  int pair[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  UniqueFd ours(pair[0]);
  const UniqueFd guest(pair[1]);
  (void)::send(guest.get(), said.data(), said.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  CHECK(::shutdown(guest.get(), SHUT_WR) == 0);
  return ours;
}

void Run(std::string_view said) {
  const auto reply = ParseAgentReply(said);
  CHECK(reply || !reply.error().reason().empty());
  if (!reply) {
    for (const char c : reply.error().message()) CHECK(static_cast<uint8_t>(c) >= 0x20 && c != 0x7f);
  }
  (void)GuestAgent(StreamOf(said)).Ask("guest-fsfreeze-thaw", kTimeout);
  // It cannot know what it will be asked with.
  CHECK(!GuestAgent(StreamOf(said)).Synchronize(kTimeout));
}

}  // namespace
}  // namespace berth::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::server::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
