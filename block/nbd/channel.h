// Channel: a connection's bytes, in the clear or under TLS.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth::block::nbd {

using Clock = std::chrono::steady_clock;
using Deadline = std::optional<Clock::time_point>;  // None: for as long as it takes.

class Channel {
 public:
  explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}
  virtual ~Channel() = default;

  // As readv(2) and writev(2), and neither ever waits: a count (0: the peer has closed), or a negative errno
  // value, -EAGAIN where there is nothing to be done now. One thread may read while another writes.
  virtual ssize_t Read(std::span<const iovec> pieces) = 0;
  virtual ssize_t Write(std::span<const iovec> pieces) = 0;
  // Whether Read may leave bytes behind that the descriptor does not tell of.
  virtual bool buffers() const { return false; }
  // Says goodbye as far as there is a way to; the descriptor stays open.
  virtual void Close() {}

  int fd() const { return socket_.get(); }
  UniqueFd TakeSocket() { return std::move(socket_); }

 private:
  UniqueFd socket_;
};

// In the clear.
std::unique_ptr<Channel> CreateChannel(UniqueFd socket);

// All of it, waiting as long as that takes. UNAVAILABLE if the peer closes first, DEADLINE_EXCEEDED.
Status ReadAll(Channel* channel, std::span<uint8_t> out, const Deadline& deadline = {});
Status WriteAll(Channel* channel, std::span<const iovec> pieces, const Deadline& deadline = {});
Status WriteAll(Channel* channel, std::span<const uint8_t> bytes, const Deadline& deadline = {});
Status WriteAll(Channel* channel, const std::string& bytes, const Deadline& deadline = {});
// Reads and forgets.
Status SkipBytes(Channel* channel, uint64_t length, const Deadline& deadline = {});
// Until `events` (POLLIN, POLLOUT) of the channel.
Status WaitFor(const Channel& channel, short events, const Deadline& deadline);

}  // namespace berth::block::nbd
