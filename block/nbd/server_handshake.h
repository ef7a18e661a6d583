// The server's half of the handshake. Blocking, and over in a bounded time and memory whatever the client
// says.
#pragma once

#include <memory>
#include <vector>

#include "base/error.h"
#include "block/nbd/channel.h"
#include "block/nbd/export.h"

namespace berth::block::nbd {

// A client that may send requests.
struct ServerSession {
  std::unique_ptr<Channel> channel{};
  bool structured_replies = false;
  std::vector<uint32_t> contexts{};
};

// UNAVAILABLE if the client has gone, be it with a goodbye; DEADLINE_EXCEEDED; INVALID_ARGUMENT.
Result<ServerSession> ServerHandshake(std::unique_ptr<Channel> channel, const Export& what,
                                      const Deadline& deadline);

}  // namespace berth::block::nbd
