#include "hw/vhost_user/channel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace berth::hw {
namespace {

// What the kernel has put into this process with the bytes.
void TakeFds(msghdr& message, std::vector<UniqueFd>* fds) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= control->cmsg_len; at += sizeof(int)) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(control) + at, sizeof(fd));
      fds->emplace_back(fd);
    }
  }
}

}  // namespace

VhostUserChannel::VhostUserChannel(UniqueFd socket) : socket_(std::move(socket)) {
  ::fcntl(socket_.get(), F_SETFL, ::fcntl(socket_.get(), F_GETFL) | O_NONBLOCK);
}

// Reads towards the end of the header, or of the payload, and never further: descriptors come with their
// message's bytes. Whether anything came.
Result<bool> VhostUserChannel::Fill() {
  iovec part{reinterpret_cast<uint8_t*>(&header_) + have_, sizeof(header_) - have_};
  if (have_ >= sizeof(header_)) {
    const size_t done = have_ - sizeof(header_);
    part = {payload_.data() + done, payload_.size() - done};
  }
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kVhostUserTableRegions * sizeof(int))> control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got < 0) return FailErrno(errno, "read from the front-end");
  TakeFds(message, &fds_);
  if (got == 0) return Fail(Code::kUnavailable, "the front-end has closed the connection");
  if ((message.msg_flags & MSG_CTRUNC) != 0 || fds_.size() > kVhostUserTableRegions)
    return Fail(Code::kInvalidArgument, "a message with more than {} descriptors", kVhostUserTableRegions);
  have_ += static_cast<size_t>(got);
  return true;
}

Result<std::optional<VhostUserMessage>> VhostUserChannel::Receive() {
  while (true) {
    const size_t whole = sizeof(header_) + payload_.size();
    if (have_ < whole) {
      if (!TRY(Fill())) return std::nullopt;
      if (have_ != sizeof(header_)) continue;
      if ((header_.flags & kVhostUserVersionMask) != kVhostUserVersion ||
          (header_.flags & kVhostUserReply) != 0)
        return Fail(Code::kInvalidArgument, "a message with flags {:#x}", header_.flags);
      if (header_.size > kVhostUserMaxPayloadBytes)
        return Fail(Code::kInvalidArgument, "a message of {} bytes; there are {} at most", header_.size,
                    kVhostUserMaxPayloadBytes);
      payload_.resize(header_.size);
      continue;
    }
    VhostUserMessage message{.request = static_cast<VhostUserRequest>(header_.request),
                             .needs_reply = (header_.flags & kVhostUserNeedReply) != 0,
                             .payload = std::exchange(payload_, {}),
                             .fds = std::exchange(fds_, {})};
    have_ = 0;
    return message;
  }
}

Status VhostUserChannel::Reply(VhostUserRequest request, std::span<const uint8_t> payload) {
  const VhostUserHeader header{.request = static_cast<uint32_t>(request),
                               .flags = kVhostUserVersion | kVhostUserReply,
                               .size = static_cast<uint32_t>(payload.size())};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes.append(reinterpret_cast<const char*>(payload.data()), payload.size());
  const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(bytes.size())) return Ok();
  return Fail(Code::kUnavailable, "the front-end does not read what it has asked for");
}

}  // namespace berth::hw
