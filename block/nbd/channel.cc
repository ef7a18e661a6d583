#include "block/nbd/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "base/pieces.h"

namespace berth::block::nbd {
namespace {

msghdr Header(std::span<const iovec> pieces) {
  msghdr header{};
  header.msg_iov = const_cast<iovec*>(pieces.data());
  header.msg_iovlen = std::min(pieces.size(), kMaxPieces);
  return header;
}

class PlainChannel final : public Channel {
 public:
  using Channel::Channel;
  ssize_t Read(std::span<const iovec> pieces) override {
    msghdr header = Header(pieces);
    const ssize_t got = ::recvmsg(fd(), &header, MSG_DONTWAIT);
    return got < 0 ? -errno : got;
  }
  ssize_t Write(std::span<const iovec> pieces) override {
    const msghdr header = Header(pieces);
    const ssize_t put = ::sendmsg(fd(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    return put < 0 ? -errno : put;
  }
};

Status Lost(ssize_t result) {
  if (result == 0 || result == -EPIPE || result == -ECONNRESET) {
    return Fail(Code::kUnavailable, "the peer has closed the connection");
  }
  return FailErrno(static_cast<int>(-result), "exchange bytes with the peer");
}

bool Again(ssize_t result) { return result == -EAGAIN || result == -EINTR; }

}  // namespace

std::unique_ptr<Channel> CreateChannel(UniqueFd socket) {
  return std::make_unique<PlainChannel>(std::move(socket));
}

Status WaitFor(const Channel& channel, short events, const Deadline& deadline) {
  int timeout_ms = -1;
  if (deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
    if (left <= 0) return Fail(Code::kDeadlineExceeded, "the peer took too long");
    timeout_ms = static_cast<int>(std::min<int64_t>(left, 60'000));
  }
  pollfd one{.fd = channel.fd(), .events = events};
  if (::poll(&one, 1, timeout_ms) < 0 && errno != EINTR) return FailErrno(errno, "wait for the peer");
  return Ok();
}

Status ReadAll(Channel* channel, std::span<uint8_t> out, const Deadline& deadline) {
  while (!out.empty()) {
    const iovec piece{out.data(), out.size()};
    const ssize_t got = channel->Read({&piece, 1});
    if (got > 0) {
      out = out.subspan(static_cast<size_t>(got));
    } else if (Again(got)) {
      TRY(WaitFor(*channel, POLLIN, deadline));
    } else {
      return Lost(got);
    }
  }
  return Ok();
}

Status WriteAll(Channel* channel, std::span<const iovec> pieces, const Deadline& deadline) {
  std::vector<iovec> left(pieces.begin(), pieces.end());
  std::span<iovec> rest(left);
  while (!rest.empty()) {
    ssize_t put = channel->Write(rest);
    if (Again(put)) {
      TRY(WaitFor(*channel, POLLOUT, deadline));
      continue;
    }
    if (put < 0) return Lost(put);
    while (!rest.empty() && static_cast<size_t>(put) >= rest.front().iov_len) {
      put -= static_cast<ssize_t>(rest.front().iov_len);
      rest = rest.subspan(1);
    }
    if (put > 0) {
      rest.front().iov_base = static_cast<uint8_t*>(rest.front().iov_base) + put;
      rest.front().iov_len -= static_cast<size_t>(put);
    }
  }
  return Ok();
}

Status WriteAll(Channel* channel, std::span<const uint8_t> bytes, const Deadline& deadline) {
  const iovec piece{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  return WriteAll(channel, {&piece, 1}, deadline);
}

Status WriteAll(Channel* channel, const std::string& bytes, const Deadline& deadline) {
  return WriteAll(channel, std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()), deadline);
}

Status SkipBytes(Channel* channel, uint64_t length, const Deadline& deadline) {
  std::array<uint8_t, 4096> nowhere;
  while (length != 0) {
    const uint64_t step = std::min<uint64_t>(length, nowhere.size());
    TRY(ReadAll(channel, {nowhere.data(), step}, deadline));
    length -= step;
  }
  return Ok();
}

}  // namespace berth::block::nbd
