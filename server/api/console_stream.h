// A caller's view of a guest's console: bytes both ways between a gRPC stream and the VMM's socket.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "berth/v1/guest_service.pb.h"
#include "server/api/call_limit.h"
#include "server/guest/engine.h"

namespace berth::server {

using ConsoleReactor = grpc::ServerBidiReactor<v1::StreamConsoleRequest, v1::StreamConsoleResponse>;

// The reactor of a new stream; it deletes itself. Whoever is slow slows the other down, nobody else: at most
// one message each way is under way.
ConsoleReactor* StartConsoleStream(Engine& engine, Result<CallLimit::Place> place);

}  // namespace berth::server
