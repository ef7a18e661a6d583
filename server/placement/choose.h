// The two halves of Place, for who keeps hosts in memory: choosing host nodes, and spelling the choice out.
#pragma once

#include "base/error.h"
#include "server/placement/placement.h"
#include "server/placement/search.h"

namespace berth::server {

// Place's refusals.
Result<Choice> Choose(const HostModel& model, const HostRoom& room, const PlacementRequest& request);

// The CPUs of a choice that was made on the same host, room and request.
Placement Assemble(const HostModel& model, const HostRoom& room, const PlacementRequest& request,
                   const Choice& choice);

}  // namespace berth::server
