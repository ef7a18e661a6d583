// TLS for connections, by credentials that have a name. What makes them is another library (block/nbd/tls),
// so that programs without TLS need not link one.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "block/nbd/channel.h"

namespace berth::block::nbd {

class TlsCredentials {
 public:
  virtual ~TlsCredentials() = default;
  virtual bool for_server() const = 0;
  // Shakes hands over `plain`. `hostname`: whose certificate a client accepts; means nothing for servers.
  virtual Result<std::unique_ptr<Channel>> Upgrade(std::unique_ptr<Channel> plain,
                                                   const std::string& hostname,
                                                   const Deadline& deadline) const = 0;
};

// Process-wide, by id; any thread. ALREADY_EXISTS.
Status DefineTlsCredentials(const std::string& id, std::shared_ptr<const TlsCredentials> credentials);
// INVALID_ARGUMENT if there are none of this id, or those of the other end.
Result<std::shared_ptr<const TlsCredentials>> FindTlsCredentials(const std::string& id, bool for_server);

}  // namespace berth::block::nbd
