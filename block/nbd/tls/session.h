// A connection under TLS.
#pragma once

#include <memory>

#include <openssl/ssl.h>

#include "base/error.h"
#include "block/nbd/channel.h"

namespace berth::block::nbd {

struct SslFreer {
  void operator()(SSL* ssl) const { ::SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
};
using UniqueSsl = std::unique_ptr<SSL, SslFreer>;
using UniqueSslContext = std::unique_ptr<SSL_CTX, SslFreer>;

// OpenSSL's own words for what went wrong last.
std::string SslErrorText();

// Shakes hands over the socket of `plain`; `ssl` has its role and whatever it demands of the peer.
Result<std::unique_ptr<Channel>> StartTls(UniqueSsl ssl, std::unique_ptr<Channel> plain,
                                          const Deadline& deadline);

}  // namespace berth::block::nbd
