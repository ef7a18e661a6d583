#include "block/nbd/tls/credentials.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <vector>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "block/nbd/tls/session.h"

namespace berth::block::nbd {
namespace {

constexpr size_t kMaxKeys = 10'000;
// With keys alone there is nothing to certify; these suites of TLS 1.2 and the one of 1.3 with SHA-256 are
// those that a key without a stated digest goes with.
constexpr const char* kKeySuites =
    "ECDHE-PSK-AES128-CBC-SHA256:DHE-PSK-AES128-GCM-SHA256:PSK-AES128-GCM-SHA256";
constexpr const char* kKeySuites13 = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";

Result<UniqueSslContext> NewContext(const TlsFiles& files) {
  UniqueSslContext context(::SSL_CTX_new(files.for_server ? ::TLS_server_method() : ::TLS_client_method()));
  if (!context) return Fail(Code::kResourceExhausted, "Failed to start TLS: {}", SslErrorText());
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
  ::SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_num_tickets(context.get(), 0);
  return context;
}

class Certificates final : public TlsCredentials {
 public:
  Certificates(UniqueSslContext context, const TlsFiles& files)
      : context_(std::move(context)), files_(files) {}
  bool for_server() const override { return files_.for_server; }

  Result<std::unique_ptr<Channel>> Upgrade(std::unique_ptr<Channel> plain, const std::string& hostname,
                                           const Deadline& deadline) const override {
    UniqueSsl ssl(::SSL_new(context_.get()));
    if (!ssl) return Fail(Code::kResourceExhausted, "Failed to start TLS: {}", SslErrorText());
    if (files_.for_server) {
      ::SSL_set_accept_state(ssl.get());
    } else {
      ::SSL_set_connect_state(ssl.get());
      if (files_.verify_peer) {
        if (hostname.empty()) return Fail(Code::kInvalidArgument, "No hostname for certificate validation");
        in6_addr binary{};
        const bool number = ::inet_pton(AF_INET, hostname.c_str(), &binary) == 1 ||
                            ::inet_pton(AF_INET6, hostname.c_str(), &binary) == 1;
        const int set = number
                            ? ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl.get()), hostname.c_str())
                            : ::SSL_set1_host(ssl.get(), hostname.c_str());
        if (set != 1) return Fail(Code::kInvalidArgument, "'{}' is no name of a host", hostname);
        if (!number) SSL_set_tlsext_host_name(ssl.get(), hostname.c_str());
      }
    }
    return StartTls(std::move(ssl), std::move(plain), deadline);
  }

 private:
  const UniqueSslContext context_;
  const TlsFiles files_;
};

class SharedKeys final : public TlsCredentials {
 public:
  SharedKeys(UniqueSslContext context, const TlsFiles& files,
             std::map<std::string, std::vector<uint8_t>> keys)
      : context_(std::move(context)), files_(files), keys_(std::move(keys)) {
    if (files_.for_server) {
      ::SSL_CTX_set_psk_server_callback(context_.get(), KeyForClient);
    } else {
      ::SSL_CTX_set_psk_client_callback(context_.get(), KeyForServer);
    }
  }
  bool for_server() const override { return files_.for_server; }

  Result<std::unique_ptr<Channel>> Upgrade(std::unique_ptr<Channel> plain, const std::string&,
                                           const Deadline& deadline) const override {
    UniqueSsl ssl(::SSL_new(context_.get()));
    if (!ssl) return Fail(Code::kResourceExhausted, "Failed to start TLS: {}", SslErrorText());
    SSL_set_app_data(ssl.get(), const_cast<SharedKeys*>(this));
    files_.for_server ? ::SSL_set_accept_state(ssl.get()) : ::SSL_set_connect_state(ssl.get());
    return StartTls(std::move(ssl), std::move(plain), deadline);
  }

 private:
  unsigned CopyKey(const std::string& user, unsigned char* out, unsigned size) const {
    const auto found = keys_.find(user);
    if (found == keys_.end() || found->second.size() > size) return 0;
    std::copy(found->second.begin(), found->second.end(), out);
    return static_cast<unsigned>(found->second.size());
  }
  static unsigned KeyForClient(SSL* ssl, const char* user, unsigned char* key, unsigned size) {
    const auto* self = static_cast<const SharedKeys*>(SSL_get_app_data(ssl));
    return user == nullptr ? 0 : self->CopyKey(user, key, size);
  }
  static unsigned KeyForServer(SSL* ssl, const char*, char* user, unsigned user_size, unsigned char* key,
                               unsigned size) {
    const auto* self = static_cast<const SharedKeys*>(SSL_get_app_data(ssl));
    const std::string& name = self->files_.username;
    if (name.size() + 1 > user_size) return 0;
    std::copy(name.c_str(), name.c_str() + name.size() + 1, user);
    return self->CopyKey(name, key, size);
  }

  const UniqueSslContext context_;
  const TlsFiles files_;
  const std::map<std::string, std::vector<uint8_t>> keys_;
};

bool ParseHex(const std::string& text, std::vector<uint8_t>* bytes) {
  if (text.empty() || text.size() % 2 != 0) return false;
  for (size_t i = 0; i < text.size(); i += 2) {
    char* end = nullptr;
    const std::string pair = text.substr(i, 2);
    bytes->push_back(static_cast<uint8_t>(std::strtoul(pair.c_str(), &end, 16)));
    if (*end != '\0' || pair[0] == '-' || pair[0] == '+' || pair[0] == ' ') return false;
  }
  return true;
}

}  // namespace

Result<std::shared_ptr<const TlsCredentials>> LoadCertificates(const TlsFiles& files) {
  UniqueSslContext context = TRY(NewContext(files));
  const std::string own = files.directory + (files.for_server ? "/server" : "/client");
  const std::string authority = files.directory + "/ca-cert.pem";
  const std::string certificate = own + "-cert.pem", key = own + "-key.pem";
  const bool has_own = ::access(certificate.c_str(), F_OK) == 0;
  if (files.for_server && !has_own)
    return Fail(Code::kNotFound, "Unable to access credentials {}", certificate);
  if (files.verify_peer || ::access(authority.c_str(), F_OK) == 0) {
    if (::SSL_CTX_load_verify_file(context.get(), authority.c_str()) != 1) {
      return Fail(Code::kNotFound, "Unable to access credentials {}: {}", authority, SslErrorText());
    }
  }
  if (has_own) {
    if (::SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) != 1 ||
        ::SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1 ||
        ::SSL_CTX_check_private_key(context.get()) != 1) {
      return Fail(Code::kInvalidArgument, "Cannot load certificate '{}' & key '{}': {}", certificate, key,
                  SslErrorText());
    }
  }
  if (files.verify_peer) {
    ::SSL_CTX_set_verify(context.get(),
                         SSL_VERIFY_PEER | (files.for_server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  }
  return std::make_shared<Certificates>(std::move(context), files);
}

Result<std::shared_ptr<const TlsCredentials>> LoadSharedKeys(const TlsFiles& files) {
  UniqueSslContext context = TRY(NewContext(files));
  const std::string path = files.directory + "/keys.psk";
  std::ifstream file(path);
  if (!file) return Fail(Code::kNotFound, "Unable to access credentials {}: No such file or directory", path);
  std::map<std::string, std::vector<uint8_t>> keys;
  for (std::string line; std::getline(file, line) && keys.size() < kMaxKeys;) {
    const size_t colon = line.rfind(':');
    if (line.empty() || line[0] == '#' || colon == line.npos) continue;
    std::vector<uint8_t> key;
    if (!ParseHex(line.substr(colon + 1), &key)) {
      return Fail(Code::kInvalidArgument, "the key of '{}' in {} is not hexadecimal", line.substr(0, colon),
                  path);
    }
    keys[line.substr(0, colon)] = std::move(key);
  }
  if (!files.for_server && keys.find(files.username) == keys.end()) {
    return Fail(Code::kNotFound, "Username {} not found in PSK file {}", files.username, path);
  }
  if (::SSL_CTX_set_cipher_list(context.get(), kKeySuites) != 1 ||
      ::SSL_CTX_set_ciphersuites(context.get(), kKeySuites13) != 1) {
    return Fail(Code::kInternal, "Failed to start TLS: {}", SslErrorText());
  }
  return std::make_shared<SharedKeys>(std::move(context), files, std::move(keys));
}

}  // namespace berth::block::nbd
