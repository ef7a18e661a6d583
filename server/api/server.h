// The gRPC server: our services, health and reflection, on a Unix socket and, on request, on TCP.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"

namespace grpc {
class Service;
}

namespace berth::server {

struct ListenOptions {
  std::string socket_path;   // "/run/berth/berthd.sock"; empty for none.
  std::string socket_group;  // Members may connect; empty: the owner alone.
  std::string tcp_address;   // "127.0.0.1:7000"; empty for none.
  // PEM files for TCP. Without them only loopback addresses are served.
  std::string certificate_path, key_path;
  std::string client_ca_path;  // Callers must show a certificate of this authority.
};

class Server {
 public:
  virtual ~Server() = default;
  // Ends the calls that are under way, and returns when they have ended. Once.
  virtual void Shutdown() = 0;
  // The port that tcp_address came to; 0 without one.
  virtual int port() const = 0;
};

// The services outlive the server. FAILED_PRECONDITION: SOCKET_IN_USE (another daemon), NOT_LISTENING.
// INVALID_ARGUMENT: TLS_REQUIRED.
Result<std::unique_ptr<Server>> StartServer(const ListenOptions& options,
                                            const std::vector<grpc::Service*>& services);

}  // namespace berth::server
