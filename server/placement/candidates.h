// Which of the host's nodes a guest is tried on, the best first.
#pragma once

#include <vector>

#include "host/snapshot.h"
#include "server/placement/node_room.h"
#include "server/placement/placement.h"

namespace berth::server {

// Sets of node ids, in the order to try. The request's nodes and CPUs are the host's.
std::vector<std::vector<int>> CandidateNodes(const host::HostSnapshot& host,
                                             const std::vector<NodeRoom>& rooms,
                                             const PlacementRequest& request);

}  // namespace berth::server
