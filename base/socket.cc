#include "base/socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace berth {
namespace {

Result<sockaddr_un> UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Fail(Code::kInvalidArgument, "socket path {} is longer than {} bytes", path,
                sizeof(address.sun_path) - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<UniqueFd> CreateSocket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return FailErrno(errno, "create a Unix socket");
  return fd;
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> CreateSocketPair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    return FailErrno(errno, "create a socket pair");
  }
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

Result<UniqueFd> ListenAt(const std::string& path) {
  const sockaddr_un address = TRY(UnixAddress(path));
  UniqueFd fd = TRY(CreateSocket());
  // The mode is on the socket before bind, so no moment is left in which others could connect.
  ::fchmod(fd.get(), 0600);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return FailErrno(errno, "bind the socket {}", path);
  }
  if (::listen(fd.get(), 16) != 0) return FailErrno(errno, "listen on {}", path);
  return fd;
}

Result<UniqueFd> ConnectTo(const std::string& path) {
  const sockaddr_un address = TRY(UnixAddress(path));
  UniqueFd fd = TRY(CreateSocket());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return FailErrno(errno, "connect to {}", path);
  }
  return fd;
}

Result<UniqueFd> Accept(int listener_fd) {
  UniqueFd fd(::accept4(listener_fd, nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd) return FailErrno(errno, "accept a connection");
  return fd;
}

Status SendMessage(int socket_fd, std::string_view bytes, const std::vector<int>& fds) {
  if (bytes.size() > kMaxMessageBytes || fds.size() > kMaxMessageFds) {
    return Fail(Code::kResourceExhausted,
                "a message of {} bytes and {} descriptors is over the limit of {} and {}", bytes.size(),
                fds.size(), kMaxMessageBytes, kMaxMessageFds);
  }
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxMessageFds)];
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * fds.size());
  }
  ssize_t sent;
  do {
    sent = ::sendmsg(socket_fd, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return Ok();
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) {
    return Fail(Code::kUnavailable, "the peer has closed the connection");
  }
  return FailErrno(errno, "send a message");
}

Result<Message> ReceiveMessage(int socket_fd) {
  Message message;
  message.bytes.resize(kMaxMessageBytes);
  iovec part{message.bytes.data(), message.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxMessageFds)];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  ssize_t received;
  do {
    received = ::recvmsg(socket_fd, &header, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0 && errno != ECONNRESET) return FailErrno(errno, "receive a message");
  for (cmsghdr* part_header = CMSG_FIRSTHDR(&header); part_header != nullptr && received >= 0;
       part_header = CMSG_NXTHDR(&header, part_header)) {
    if (part_header->cmsg_level != SOL_SOCKET || part_header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part_header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part_header) + i * sizeof(int), sizeof(int));
      message.fds.emplace_back(fd);
    }
  }
  if (received <= 0) return Fail(Code::kUnavailable, "the peer has closed the connection");
  if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
    return Fail(Code::kInvalidArgument, "a message over {} bytes or {} descriptors was dropped",
                kMaxMessageBytes, kMaxMessageFds);
  }
  message.bytes.resize(static_cast<size_t>(received));
  return message;
}

}  // namespace berth
