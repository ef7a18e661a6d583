// Which CPUs guests that share have, beside those that are dedicated.
#pragma once

#include "host/cpu_set.h"
#include "server/placement/host_room.h"

namespace berth::server {

// Of these nodes, with `free` as HostRoom::free. With a common pool they are what is not dedicated.
host::CpuSet CpusToShare(const HostModel& model, const std::vector<uint8_t>& free, NodeMask nodes);

}  // namespace berth::server
