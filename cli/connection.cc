#include "cli/connection.h"

#include <fstream>
#include <sstream>

#include "proto/error_details.h"

namespace berth::cli {
namespace {

constexpr int kMaxReceivedBytes = 72 << 20;  // A screenshot is the largest.

Result<std::string> ReadPem(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return FailErrno(errno, "read {}", path);
  return text.str();
}

Result<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const ServerOptions& options) {
  if (options.ca_path.empty()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = TRY(ReadPem(options.ca_path));
  if (!options.certificate_path.empty()) tls.pem_cert_chain = TRY(ReadPem(options.certificate_path));
  if (!options.key_path.empty()) tls.pem_private_key = TRY(ReadPem(options.key_path));
  return grpc::SslCredentials(tls);
}

}  // namespace

Result<Connection> Connection::Create(const ServerOptions& options) {
  Connection connection;
  connection.options_ = options;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReceivedBytes);
  connection.channel_ = grpc::CreateCustomChannel(options.address, TRY(Credentials(options)), arguments);
  connection.stubs_ = {GuestService::NewStub(connection.channel_), HostService::NewStub(connection.channel_),
                       EventService::NewStub(connection.channel_),
                       VolumeService::NewStub(connection.channel_), Operations::NewStub(connection.channel_)};
  return connection;
}

Error Connection::ToError(const grpc::Status& status) const {
  google::rpc::Status details;
  if (!status.error_details().empty() && details.ParseFromString(status.error_details())) {
    return FromRpcStatus(details);
  }
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    return Error(Code::kUnavailable,
                 fmt::format("berthd does not answer at {}: {}. Is it running, and may you use its "
                             "socket?",
                             options_.address, status.error_message()))
        .Reason("NO_CONNECTION");
  }
  details.set_code(static_cast<int>(status.error_code()));
  details.set_message(status.error_message());
  return FromRpcStatus(details);
}

}  // namespace berth::cli
