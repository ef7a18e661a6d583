// The client's half of the handshake: from a connected socket to an export that is ready for requests, or to
// a list of exports. All that the server says is bounded and checked.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "block/nbd/channel.h"
#include "block/nbd/tls.h"

namespace berth::block::nbd {

// What a server says of an export.
struct ExportInfo {
  std::string name{};
  std::string description{};
  uint64_t size_bytes = 0;
  uint16_t flags = 0;
  // 0: the server did not say.
  uint32_t min_block_bytes = 0, preferred_block_bytes = 0, max_block_bytes = 0;
  std::vector<std::string> contexts{};
};

struct HandshakeOptions {
  std::string export_name{};
  std::string context{};  // The metadata context to ask for; empty: none.
  std::shared_ptr<const TlsCredentials> tls{};
  std::string tls_hostname{};
};

// After the handshake.
struct Session {
  std::unique_ptr<Channel> channel;
  ExportInfo info;
  bool structured_replies = false;
  std::optional<uint32_t> context_id{};  // Of the context that was asked for, if the server has it.
};

// Whole handshakes take this long at most.
inline constexpr int kHandshakeSeconds = 30;
// Exports of a list, contexts of an export: more are an error.
inline constexpr size_t kMaxListed = 10'000;

Result<Session> ClientHandshake(std::unique_ptr<Channel> channel, const HandshakeOptions& options);

// Every export, with what is known of it.
Result<std::vector<ExportInfo>> ListExports(std::unique_ptr<Channel> channel,
                                            const HandshakeOptions& options);

}  // namespace berth::block::nbd
