// Messages with descriptors over Unix sockets (SOCK_SEQPACKET, SCM_RIGHTS).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth {

// SCM_MAX_FD of Linux: the most descriptors one message carries.
inline constexpr size_t kMaxMessageFds = 253;
inline constexpr size_t kMaxMessageBytes = 128 * 1024;

struct Message {
  std::string bytes;
  std::vector<UniqueFd> fds;
};

Result<std::pair<UniqueFd, UniqueFd>> CreateSocketPair();
// A listening socket at `path`, which must not exist and holds at most 107 bytes. Mode 0600.
Result<UniqueFd> ListenAt(const std::string& path);
Result<UniqueFd> ConnectTo(const std::string& path);
Result<UniqueFd> Accept(int listener_fd);

// Sends one whole message; the descriptors are borrowed. RESOURCE_EXHAUSTED if it is too large, UNAVAILABLE
// if a non-blocking socket is full or the peer is gone.
Status SendMessage(int socket_fd, std::string_view bytes, const std::vector<int>& fds = {});
// The next whole message. UNAVAILABLE when the peer has closed or a non-blocking socket has nothing;
// INVALID_ARGUMENT for a message over the limits (it is dropped, its descriptors closed).
Result<Message> ReceiveMessage(int socket_fd);

}  // namespace berth
