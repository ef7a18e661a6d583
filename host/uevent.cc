#include "host/uevent.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace berth::host {
namespace {

constexpr uint32_t kKernelGroup = 1;  // udev's own messages are of group 2.
constexpr int kBufferBytes = 1 << 20;
constexpr size_t kMaxMessageBytes = 8192;  // The kernel's own limit is 2048 and a path.

}  // namespace

std::optional<Uevent> ParseUevent(std::string_view message) {
  const size_t at = message.find('@'), end = message.find('\0');
  if (at == std::string_view::npos || end == std::string_view::npos || at == 0 || at > end)
    return std::nullopt;
  Uevent event{.action = std::string(message.substr(0, at)),
               .path = std::string(message.substr(at + 1, end - at - 1))};
  constexpr std::string_view kSubsystem = "SUBSYSTEM=";
  for (message.remove_prefix(end + 1); !message.empty();) {
    const std::string_view line = message.substr(0, message.find('\0'));
    if (line.starts_with(kSubsystem)) event.subsystem = line.substr(kSubsystem.size());
    message.remove_prefix(std::min(line.size() + 1, message.size()));
  }
  return event;
}

Result<UniqueFd> ListenForUevents() {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kKernelGroup;
  if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return FailErrno(errno, "listen for the kernel's device events");
  }
  // More than the limit for unprivileged processes, if we may; the default will do else.
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof(kBufferBytes)) != 0) {
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &kBufferBytes, sizeof(kBufferBytes));
  }
  return socket;
}

Result<std::optional<Uevent>> ReceiveUevent(int socket) {
  while (true) {
    std::array<char, kMaxMessageBytes> bytes;
    sockaddr_nl sender{};
    socklen_t sender_size = sizeof(sender);
    const ssize_t size =
        ::recvfrom(socket, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&sender), &sender_size);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return std::nullopt;
    if (size < 0 && errno == ENOBUFS) {
      return Fail(Error(Code::kResourceExhausted, "some of the kernel's device events were lost")
                      .Reason("UEVENTS_LOST"));
    }
    if (size < 0) return FailErrno(errno, "receive a device event");
    if (sender.nl_pid != 0) continue;  // Any process may send to a netlink socket.
    if (auto event = ParseUevent({bytes.data(), static_cast<size_t>(size)})) return event;
  }
}

}  // namespace berth::host
