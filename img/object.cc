#include "img/object.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "block/crypto/secret.h"
#include "block/filter/throttle.h"
#include "block/nbd/tls/credentials.h"
#include "block/options.h"
#include "img/tool.h"

namespace berth::img {
namespace {

constexpr size_t kMaxSecretBytes = 8 << 20;  // As cryptsetup has it of key files.

Status DefineTls(const std::string& type, const std::string& id, block::Options* options) {
  namespace nbd = block::nbd;
  nbd::TlsFiles files;
  const auto endpoint = block::Take(options, "endpoint");
  if (endpoint && *endpoint != "client" && *endpoint != "server") {
    return Fail(Code::kInvalidArgument, "Parameter 'endpoint' does not accept value '{}'", *endpoint);
  }
  files.for_server = endpoint && *endpoint == "server";
  files.directory = block::Take(options, "dir").value_or("");
  if (files.directory.empty()) return Fail(Code::kInvalidArgument, "Missing 'dir' property value");
  if (const auto verify = block::Take(options, "verify-peer")) {
    files.verify_peer = TRY(block::ParseBool("verify-peer", *verify));
  }
  if (const auto user = block::Take(options, "username")) files.username = *user;
  ::signal(SIGPIPE, SIG_IGN);  // A peer that hangs up is an error of a write.
  return nbd::DefineTlsCredentials(
      id, TRY(type == "tls-creds-x509" ? nbd::LoadCertificates(files) : nbd::LoadSharedKeys(files)));
}

Result<block::SecretBytes> ReadSecret(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return Fail(Code::kNotFound, "Unable to read {}: Failed to open file “{}”: {}", path, path,
                std::strerror(errno));
  }
  block::SecretBytes bytes(kMaxSecretBytes + 1);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(file.gcount()));
  if (bytes.size() > kMaxSecretBytes)
    return Fail(Code::kInvalidArgument, "the secret in {} is longer than {} bytes", path, kMaxSecretBytes);
  return bytes;
}

Status DefineSecret(const std::string& id, block::Options* options) {
  const auto data = block::Take(options, "data"), file = block::Take(options, "file"),
             format = block::Take(options, "format");
  if (format && *format != "raw" && *format != "base64") {
    return Fail(Code::kInvalidArgument, "Parameter 'format' does not accept value '{}'", *format);
  }
  if (!options->empty()) return Ok();  // Complained of by the caller.
  if (data && file) return Fail(Code::kInvalidArgument, "'file' and 'data' are mutually exclusive");
  if (!data && !file) return Fail(Code::kInvalidArgument, "Either 'file' or 'data' must be provided");
  block::SecretBytes secret = data ? block::SecretBytes(data->begin(), data->end()) : TRY(ReadSecret(*file));
  if (format == "base64") {
    secret = TRY(block::DecodeBase64({reinterpret_cast<const char*>(secret.data()), secret.size()}));
  }
  return block::DefineSecret(id, std::move(secret));
}

Status DefineObjectOf(const std::string& type, const std::string& id, block::Options* options) {
  if (type == "secret") return DefineSecret(id, options);
  if (type == "throttle-group") {
    return block::DefineThrottleGroup(id, TRY(block::ThrottleGroup::Create(options)));
  }
  return DefineTls(type, id, options);
}

Status Define(std::string_view text) {
  const size_t comma = text.find(',');
  std::string type(text.substr(0, comma));
  if (type.starts_with("qom-type=")) type = type.substr(9);
  block::Options options =
      TRY(block::ParseKeyValueOptions(comma == text.npos ? std::string_view() : text.substr(comma + 1)));
  const auto id = block::Take(&options, "id");
  static constexpr std::string_view kTypes[] = {"secret", "throttle-group", "tls-creds-x509",
                                                "tls-creds-psk"};
  if (std::find(std::begin(kTypes), std::end(kTypes), type) == std::end(kTypes)) {
    return Fail(Code::kInvalidArgument, "Parameter 'qom-type' does not accept value '{}'", type);
  }
  if (!id) return Fail(Code::kInvalidArgument, "Parameter 'id' is missing");
  TRY(DefineObjectOf(type, *id, &options));
  if (options.empty()) return Ok();
  return Fail(Code::kInvalidArgument, "Parameter '{}' is unexpected", options.begin()->first);
}

}  // namespace

bool DefineObject(std::string_view text) {
  const Status defined = Define(text);
  if (!defined) Complain(defined.error().message());
  return defined.has_value();
}

}  // namespace berth::img
