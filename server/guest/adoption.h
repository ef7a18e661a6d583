// What a starting daemon finds of the one before it: guests that run are taken over, what was half done is
// undone.
#pragma once

#include "base/error.h"
#include "server/guest/engine.h"
#include "server/store/operation_table.h"
#include "server/store/step_table.h"

namespace berth::server {

// After GuestBook::Load, before anybody may call. The disk holds intent, the running VMM is the truth. A
// guest that cannot be put in order is FAILED, with the reason; only a store that cannot be read is an error.
Status AdoptGuests(Engine& engine, StepTable& steps, OperationTable& operations, const std::string& boot_id);

}  // namespace berth::server
