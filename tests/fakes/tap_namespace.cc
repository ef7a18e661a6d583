#include "tests/fakes/tap_namespace.h"

#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include <arpa/inet.h>
#include <net/if.h>

namespace berth::net {

Status EnterNetworkNamespace() {
  const int flags = CLONE_NEWNET | (::geteuid() == 0 ? 0 : CLONE_NEWUSER);
  if (::unshare(flags) != 0) return FailErrno(errno, "make a network namespace");
  return Ok();
}

Result<std::vector<UniqueFd>> CreateTap(const std::string& name, int queues, int flags) {
  std::vector<UniqueFd> fds;
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  for (int i = 0; i < queues; ++i) {
    fds.push_back(TRY(Open("/dev/net/tun", O_RDWR)));
    request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | flags);
    if (::ioctl(fds.back().get(), TUNSETIFF, &request) != 0) return FailErrno(errno, "create tap {}", name);
  }
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return FailErrno(errno, "bring up {}", name);
  return fds;
}

Result<UniqueFd> OpenPacketSocket(const std::string& name) {
  UniqueFd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
  if (!socket) return FailErrno(errno, "open a packet socket");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return FailErrno(errno, "bind a packet socket to {}", name);
  }
  return socket;
}

}  // namespace berth::net
