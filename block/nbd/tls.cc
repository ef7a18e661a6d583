#include "block/nbd/tls.h"

#include <map>

#include "base/mutex.h"

namespace berth::block::nbd {
namespace {

struct Registry {
  Mutex mutex;
  std::map<std::string, std::shared_ptr<const TlsCredentials>> by_id GUARDED_BY(mutex);
};

Registry& TheRegistry() {
  static Registry registry;
  return registry;
}

}  // namespace

Status DefineTlsCredentials(const std::string& id, std::shared_ptr<const TlsCredentials> credentials) {
  Registry& registry = TheRegistry();
  MutexLock lock(registry.mutex);
  if (!registry.by_id.emplace(id, std::move(credentials)).second) {
    return Fail(Code::kAlreadyExists, "attempt to add duplicate property '{}' to object (type 'container')",
                id);
  }
  return Ok();
}

Result<std::shared_ptr<const TlsCredentials>> FindTlsCredentials(const std::string& id, bool for_server) {
  Registry& registry = TheRegistry();
  MutexLock lock(registry.mutex);
  const auto found = registry.by_id.find(id);
  if (found == registry.by_id.end())
    return Fail(Code::kInvalidArgument, "No TLS credentials with id '{}'", id);
  if (found->second->for_server() != for_server) {
    return Fail(Code::kInvalidArgument, "Expecting TLS credentials with a {} endpoint",
                for_server ? "server" : "client");
  }
  return found->second;
}

}  // namespace berth::block::nbd
