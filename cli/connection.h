// The daemon, as its client sees it.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <tuple>

#include <grpcpp/grpcpp.h>

#include "base/error.h"
#include "berth/v1/event_service.grpc.pb.h"
#include "berth/v1/guest_service.grpc.pb.h"
#include "berth/v1/host_service.grpc.pb.h"
#include "berth/v1/volume_service.grpc.pb.h"
#include "google/longrunning/operations.grpc.pb.h"

namespace berth::cli {

using berth::v1::EventService;
using berth::v1::GuestService;
using berth::v1::HostService;
using berth::v1::VolumeService;
using google::longrunning::Operations;

inline constexpr char kDefaultServer[] = "unix:/run/berth/berthd.sock";

struct ServerOptions {
  std::string address = kDefaultServer;  // "unix:PATH" or "HOST:PORT"
  // PEM files; over TCP all three, or none for a server without TLS.
  std::string ca_path, certificate_path, key_path;
  std::chrono::seconds timeout{60};  // Of a call that answers at once.
};

// One for a program: its stubs are made at once, the connection with the first call.
class Connection {
 public:
  // NOT_FOUND and the like if a PEM file cannot be read.
  static Result<Connection> Create(const ServerOptions& options);

  // The client's end of a service: stub<GuestService::Stub>().
  template <typename Stub>
  Stub& stub() const {
    return *std::get<std::unique_ptr<Stub>>(stubs_);
  }

  // Calls a unary method and returns its answer: Call(&GuestService::Stub::GetGuest, request).
  template <typename Stub, typename Request, typename Response>
  Result<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                        const Request& request) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + options_.timeout);
    Response response;
    const grpc::Status status = (stub<Stub>().*method)(&context, request, &response);
    if (!status.ok()) return Fail(ToError(status));
    return response;
  }

  // Calls a List method for one page after the other, and `use` with each.
  template <typename Stub, typename Request, typename Response, typename Use>
  Status EachPage(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  Request request, Use use) const {
    do {
      const Response page = TRY(Call(method, request));
      use(page);
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return Ok();
  }

  // What the daemon said, with its details; for a daemon that does not answer, what to do about it.
  Error ToError(const grpc::Status& status) const;

 private:
  Connection() = default;

  ServerOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::tuple<std::unique_ptr<GuestService::Stub>, std::unique_ptr<HostService::Stub>,
             std::unique_ptr<EventService::Stub>, std::unique_ptr<VolumeService::Stub>,
             std::unique_ptr<Operations::Stub>>
      stubs_;
};

}  // namespace berth::cli
