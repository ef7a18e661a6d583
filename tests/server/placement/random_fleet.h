// Hosts and requests drawn at random, every kind of them, for property tests. The same seed gives the same
// ones with every compiler.
#pragma once

#include <string>

#include "server/placement/placement.h"
#include "tests/fakes/made_host.h"
#include "tests/fakes/random.h"

namespace berth::server {

host::MadeHost RandomHost(Random& random);
CpuPools RandomPools(Random& random, const host::HostSnapshot& host);
// For a host of this make; it need not fit.
PlacementRequest RandomRequest(Random& random, const host::MadeHost& made, const std::string& guest);

}  // namespace berth::server
