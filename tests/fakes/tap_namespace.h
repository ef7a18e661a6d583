// A network namespace of this process's own, with taps in it. Needs root, or user namespaces.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth::net {

// Moves the calling thread into new user (unless it is root) and network namespaces. An error says what is
// missing.
Status EnterNetworkNamespace();

// `queues` descriptors of a new tap, with IFF_TAP | IFF_NO_PI and `flags`, that is up.
Result<std::vector<UniqueFd>> CreateTap(const std::string& name, int queues, int flags);

// A packet socket of the host's side of `name`, which sees and sends whole frames. Non-blocking.
Result<UniqueFd> OpenPacketSocket(const std::string& name);

}  // namespace berth::net
