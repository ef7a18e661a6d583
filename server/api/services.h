// The gRPC services. What they need is borrowed and outlives the server.
#pragma once

#include <memory>
#include <string>

#include "server/guest/engine.h"
#include "server/guest/verbs.h"
#include "server/volume/volume_verbs.h"

namespace grpc {
class Service;
}

namespace berth::server {

std::unique_ptr<grpc::Service> CreateGuestService(Engine& engine, GuestVerbs& verbs, VolumeVerbs& volumes);
std::unique_ptr<grpc::Service> CreateHostService(Engine& engine, std::string version);
std::unique_ptr<grpc::Service> CreateVolumeService(VolumeVerbs& verbs);
std::unique_ptr<grpc::Service> CreateEventService(EventLog& events);
std::unique_ptr<grpc::Service> CreateOperationsService(OperationRunner& runner, OperationTable& table);

}  // namespace berth::server
