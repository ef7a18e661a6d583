// What to place, from a guest's spec.
#pragma once

#include <vector>

#include "berth/v1/guest_spec.pb.h"
#include "server/guest/resolved_device.h"
#include "server/placement/request.h"

namespace berth::server {

// Threads of a VMM that serve emulated devices.
inline constexpr int kIoThreads = 1;

// Without what admission decides. The spec was checked; `devices` are its assigned devices, in order.
PlacementRequest ToPlacementRequest(const v1::GuestSpec& spec, const std::vector<ResolvedDevice>& devices);

}  // namespace berth::server
