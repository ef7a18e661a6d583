// Why a guest does not fit, so that a person can act on it.
#pragma once

#include <vector>

#include "base/error.h"
#include "server/placement/search.h"

namespace berth::server {

// `attempts` failed on `problem`; `apart` are nodes that guests it keeps apart from have. `room` is the
// host's.
Error RefusalOf(const Problem& problem, const HostRoom& room, const std::vector<Attempt>& attempts,
                NodeMask apart);

}  // namespace berth::server
