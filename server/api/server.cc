#include "server/api/server.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>

#include "base/unique_fd.h"

namespace berth::server {
namespace {

// Streams and waiting calls have limits of their own, below this.
constexpr int kMaxThreads = 256;
constexpr size_t kMaxMemoryBytes = 256 << 20;
constexpr int kMaxRequestBytes = 1 << 20;
constexpr std::chrono::seconds kShutdownTime{5};

bool IsLoopback(const std::string& address) {
  return address.starts_with("127.") || address.starts_with("localhost:") || address.starts_with("[::1]:");
}

Result<std::string> ReadPem(const std::string& path) {
  std::ifstream file(path);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (file && !text.empty()) return text;
  return Fail(Error(Code::kNotFound, fmt::format("{} cannot be read", path)).Reason("TLS_FILE_NOT_READABLE"));
}

Result<std::shared_ptr<grpc::ServerCredentials>> TcpCredentials(const ListenOptions& options) {
  if (options.certificate_path.empty()) {
    if (IsLoopback(options.tcp_address)) return grpc::InsecureServerCredentials();
    return Fail(
        Error(Code::kInvalidArgument,
              fmt::format("{} is no loopback address: it is served with a TLS certificate, a key and the "
                          "authority of the callers' certificates only",
                          options.tcp_address))
            .Reason("TLS_REQUIRED"));
  }
  if (options.client_ca_path.empty() && !IsLoopback(options.tcp_address)) {
    return Fail(Error(Code::kInvalidArgument,
                      "whoever may call is root here: callers need certificates, of an "
                      "authority that is named")
                    .Reason("TLS_REQUIRED"));
  }
  const bool verify = !options.client_ca_path.empty();
  grpc::SslServerCredentialsOptions tls(verify ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                               : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  tls.pem_key_cert_pairs.push_back(
      {.private_key = TRY(ReadPem(options.key_path)), .cert_chain = TRY(ReadPem(options.certificate_path))});
  if (verify) tls.pem_root_certs = TRY(ReadPem(options.client_ca_path));
  return grpc::SslServerCredentials(tls);
}

// gRPC takes a socket's path away from whoever listens there. Not from another daemon that lives.
Status CheckNobodyListens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Fail(Code::kInvalidArgument, "the socket path {} is too long", path);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return Ok();
  return Fail(Error(Code::kFailedPrecondition, fmt::format("another daemon listens on {}", path))
                  .Reason("SOCKET_IN_USE")
                  .With("path", path));
}

Status AdmitGroup(const ListenOptions& options) {
  if (options.socket_group.empty()) return Ok();
  const struct group* found = ::getgrnam(options.socket_group.c_str());
  if (found == nullptr) return Fail(Code::kNotFound, "there is no group {}", options.socket_group);
  if (::chown(options.socket_path.c_str(), static_cast<uid_t>(-1), found->gr_gid) != 0 ||
      ::chmod(options.socket_path.c_str(), 0660) != 0) {
    return FailErrno(errno, "let the group {} use {}", options.socket_group, options.socket_path);
  }
  return Ok();
}

class GrpcServer final : public Server {
 public:
  GrpcServer(std::unique_ptr<grpc::Server> server, int port) : server_(std::move(server)), port_(port) {}
  ~GrpcServer() override { Shutdown(); }
  void Shutdown() override {
    server_->Shutdown(std::chrono::system_clock::now() + kShutdownTime);
    server_->Wait();
  }
  int port() const override { return port_; }

 private:
  const std::unique_ptr<grpc::Server> server_;
  const int port_;
};

}  // namespace

Result<std::unique_ptr<Server>> StartServer(const ListenOptions& options,
                                            const std::vector<grpc::Service*>& services) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  if (!options.socket_path.empty()) {
    TRY(CheckNobodyListens(options.socket_path));
    builder.AddListeningPort("unix:" + options.socket_path, grpc::InsecureServerCredentials());
  }
  if (!options.tcp_address.empty()) {
    builder.AddListeningPort(options.tcp_address, TRY(TcpCredentials(options)), &port);
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  grpc::ResourceQuota quota("berthd");
  quota.SetMaxThreads(kMaxThreads);
  quota.Resize(kMaxMemoryBytes);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  const mode_t mask = ::umask(0177);  // The socket is its owner's alone from the first moment.
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ::umask(mask);
  if (!server || (!options.tcp_address.empty() && port == 0)) {
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("cannot listen on {} {}", options.socket_path, options.tcp_address))
                    .Reason("NOT_LISTENING"));
  }
  auto result = std::make_unique<GrpcServer>(std::move(server), port);
  if (!options.socket_path.empty()) TRY(AdmitGroup(options));
  return result;
}

}  // namespace berth::server
