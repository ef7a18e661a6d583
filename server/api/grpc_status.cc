#include "server/api/grpc_status.h"

#include "proto/error_details.h"

namespace berth::server {

grpc::Status ToGrpcStatus(const Error& error) {
  const google::rpc::Status status = ToRpcStatus(error);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message(),
                      status.SerializeAsString());
}

}  // namespace berth::server
