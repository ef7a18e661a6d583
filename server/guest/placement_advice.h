// Which running guest to move to make room for another one. Moves nothing.
#pragma once

#include "base/error.h"
#include "berth/v1/guest_service.pb.h"
#include "server/guest/engine.h"

namespace berth::server {

// INVALID_ARGUMENT for a guest that makes no sense; the errors of ResolveDevices. A refusal for want of room
// is in the response.
Result<v1::AdvisePlacementResponse> AdvisePlacement(Engine& engine,
                                                    const v1::AdvisePlacementRequest& request);

}  // namespace berth::server
