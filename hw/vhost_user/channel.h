// The connection of a vhost-user back-end to its front-end: whole messages with their descriptors, over a
// stream socket.
#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "hw/vhost_user/protocol.h"

namespace berth::hw {

struct VhostUserMessage {
  VhostUserRequest request{};
  bool needs_reply = false;
  std::string payload;
  std::vector<UniqueFd> fds;

  // The payload as a value; nothing if it has another size.
  template <typename T>
  std::optional<T> As() const {
    T value;
    if (payload.size() != sizeof(value)) return std::nullopt;
    std::memcpy(&value, payload.data(), sizeof(value));
    return value;
  }
};

// One thread.
class VhostUserChannel {
 public:
  // A connected stream socket, which is made non-blocking.
  explicit VhostUserChannel(UniqueFd socket);
  int fd() const { return socket_.get(); }

  // The next message, once all of it is there. UNAVAILABLE when the peer has closed; INVALID_ARGUMENT for
  // what is no message: nothing further can be read then.
  Result<std::optional<VhostUserMessage>> Receive();
  // A reply. UNAVAILABLE if the peer does not take it at once: it has asked for more than it reads.
  Status Reply(VhostUserRequest request, std::span<const uint8_t> payload);

 private:
  Result<bool> Fill();

  const UniqueFd socket_;
  VhostUserHeader header_;
  size_t have_ = 0;  // Of header and payload.
  std::string payload_;
  std::vector<UniqueFd> fds_;
};

}  // namespace berth::hw
