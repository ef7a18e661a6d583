// Looking into a running guest's monitor.
#pragma once

#include "base/error.h"
#include "berth/v1/guest_service.pb.h"
#include "server/guest/engine.h"

namespace berth::server {

// Both: any thread; RunningVmm's errors and those of Vmm::Call.
Result<v1::ReadCountersResponse> ReadCounters(Engine& engine, const v1::ReadCountersRequest& request);
// INVALID_ARGUMENT, BAD_TRACE_PATTERN, for one that is empty or too long. NOT_FOUND, TRACE_EVENT_NOT_FOUND,
// for one that matches nothing.
Result<v1::TraceGuestResponse> TraceGuest(Engine& engine, const v1::TraceGuestRequest& request);

}  // namespace berth::server
