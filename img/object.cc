#include "img/object.h"

#include <signal.h>

#include "block/nbd/tls/credentials.h"
#include "block/options.h"
#include "img/tool.h"

namespace berth::img {
namespace {

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

Status Define(std::string_view text) {
  const size_t comma = text.find(',');
  std::string type(text.substr(0, comma));
  if (type.starts_with("qom-type=")) type = type.substr(9);
  block::Options options =
      TRY(block::ParseKeyValueOptions(comma == text.npos ? std::string_view() : text.substr(comma + 1)));
  const auto id = block::Take(&options, "id");
  if (type != "tls-creds-x509" && type != "tls-creds-psk") {
    return Fail(Code::kInvalidArgument, "Parameter 'qom-type' does not accept value '{}'", type);
  }
  if (!id) return Fail(Code::kInvalidArgument, "Parameter 'id' is missing");
  TRY(DefineTls(type, *id, &options));
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
