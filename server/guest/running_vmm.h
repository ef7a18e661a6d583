// The VMM of a guest that runs.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "server/guest/engine.h"

namespace berth::server {

// Any thread. `name` is "guests/{guest}". NOT_FOUND, GUEST_NOT_FOUND; FAILED_PRECONDITION, GUEST_NOT_RUNNING.
Result<std::shared_ptr<Vmm>> RunningVmm(Engine& engine, const std::string& name);

// FAILED_PRECONDITION, GUEST_NOT_RUNNING: of a guest that was running a moment ago.
tl::unexpected<Error> GuestEnding(const std::string& name);

}  // namespace berth::server
