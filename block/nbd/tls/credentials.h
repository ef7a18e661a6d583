// TLS credentials from files, by OpenSSL: certificates of an authority, or keys that both ends have. OpenSSL
// writes to sockets as to files: a program that uses them ignores SIGPIPE.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "block/nbd/tls.h"

namespace berth::block::nbd {

struct TlsFiles {
  std::string directory{};
  bool for_server = false;
  bool verify_peer = true;
  std::string username = "qemu";  // Of a client with a key.
};

// `directory` has ca-cert.pem, and server-cert.pem and server-key.pem (for clients client-…, which may be
// missing where the server does not ask for them).
Result<std::shared_ptr<const TlsCredentials>> LoadCertificates(const TlsFiles& files);
// `directory` has keys.psk: a line a user, NAME:KEY, the key in hexadecimal.
Result<std::shared_ptr<const TlsCredentials>> LoadSharedKeys(const TlsFiles& files);

}  // namespace berth::block::nbd
