// Results as gRPC wants them.
#pragma once

#include <grpcpp/support/status.h>

#include "base/error.h"

namespace berth::server {

// With google.rpc.Status as its details (see error_details.h).
grpc::Status ToGrpcStatus(const Error& error);

// Moves a result's value into a response, or gives its error.
template <typename T>
grpc::Status Respond(Result<T> result, T* response) {
  if (!result) return ToGrpcStatus(result.error());
  *response = *std::move(result);
  return grpc::Status::OK;
}

}  // namespace berth::server
