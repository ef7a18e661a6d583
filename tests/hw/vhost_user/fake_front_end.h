// A vhost-user front-end for tests: sends messages, well or badly made, and reads replies.
#pragma once

#include <sys/socket.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/unique_fd.h"
#include "hw/vhost_user/protocol.h"

namespace berth::hw {

class FakeFrontEnd {
 public:
  FakeFrontEnd() {
    int fds[2] = {-1, -1};
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    ours_ = UniqueFd(fds[0]);
    theirs_ = UniqueFd(fds[1]);
  }
  UniqueFd TakeBackEndSocket() { return std::move(theirs_); }
  void Close() { ours_.Reset(); }
  int fd() const { return ours_.get(); }

  template <typename T>
  static std::string Bytes(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
  }
  static std::string Message(VhostUserRequest request, std::string_view payload,
                             uint32_t flags = kVhostUserVersion) {
    return Bytes(
               VhostUserHeader{static_cast<uint32_t>(request), flags, static_cast<uint32_t>(payload.size())})
        .append(payload);
  }

  void Send(VhostUserRequest request, std::string_view payload, const std::vector<int>& fds = {},
            uint32_t flags = kVhostUserVersion) {
    SendBytes(Message(request, payload, flags), fds);
  }
  void SendBytes(std::string bytes, const std::vector<int>& fds = {}) {
    iovec part{bytes.data(), bytes.size()};
    std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
      std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
    }
    CHECK(::sendmsg(ours_.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }

  // The payload of a reply that is there; nothing if none is.
  std::optional<std::string> TakeReply() {
    VhostUserHeader header;
    if (::recv(ours_.get(), &header, sizeof(header), MSG_DONTWAIT) != sizeof(header)) return std::nullopt;
    CHECK((header.flags & kVhostUserReply) != 0);
    std::string payload(header.size, '\0');
    CHECK(payload.empty() || ::recv(ours_.get(), payload.data(), payload.size(), MSG_DONTWAIT) ==
                                 static_cast<ssize_t>(payload.size()));
    return payload;
  }
  std::optional<uint64_t> TakeNumber() {
    const auto reply = TakeReply();
    if (!reply || reply->size() != sizeof(uint64_t)) return std::nullopt;
    return LoadLe<uint64_t>(reply->data());
  }

 private:
  UniqueFd ours_, theirs_;
};

}  // namespace berth::hw
