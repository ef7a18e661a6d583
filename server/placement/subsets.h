// Subsets of a host's nodes, in an order that is always the same.
#pragma once

#include <vector>

#include "server/placement/host_model.h"

namespace berth::server {

// Those of `size` out of `nodes`, if they are at most `most`; else for each node the one of it and its
// nearest. Ascending.
std::vector<NodeMask> Subsets(const HostModel& model, NodeMask nodes, int size, uint64_t most);

std::vector<int> IndicesOf(NodeMask nodes);

}  // namespace berth::server
