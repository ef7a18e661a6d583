// Guests that share CPUs out of which others are dedicated: when that happens they move to what is left, and
// when the others go they get it back.
#pragma once

#include "berth/v1/guest.pb.h"
#include "server/guest/engine.h"
#include "server/placement/host_room.h"

namespace berth::server {

// Pure. The CPUs that a running guest is to have beside what `room` says is promised; the rest of its
// placement as it is.
v1::EffectivePlacement SharedAnew(const HostModel& model, const HostRoom& room, const v1::Guest& guest);

// Moves every running guest whose CPUs have changed, tells of it in an event, and stores it. What cannot be
// moved is an event, too. No guest's mutex is held.
void RefitGuests(Engine& engine);

}  // namespace berth::server
