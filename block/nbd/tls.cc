#include "block/nbd/tls.h"

#include "block/named_objects.h"

namespace berth::block::nbd {
namespace {

NamedObjects<std::shared_ptr<const TlsCredentials>>& AllCredentials() {
  static NamedObjects<std::shared_ptr<const TlsCredentials>> all;
  return all;
}

}  // namespace

Status DefineTlsCredentials(const std::string& id, std::shared_ptr<const TlsCredentials> credentials) {
  return AllCredentials().Define(id, std::move(credentials));
}

Result<std::shared_ptr<const TlsCredentials>> FindTlsCredentials(const std::string& id, bool for_server) {
  auto found = AllCredentials().Find(id);
  if (!found) return Fail(Code::kInvalidArgument, "No TLS credentials with id '{}'", id);
  if ((*found)->for_server() != for_server) {
    return Fail(Code::kInvalidArgument, "Expecting TLS credentials with a {} endpoint",
                for_server ? "server" : "client");
  }
  return *std::move(found);
}

}  // namespace berth::block::nbd
