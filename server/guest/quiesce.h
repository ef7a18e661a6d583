// File systems of a guest at rest while something is done to its disks: its agent freezes and thaws them
// (docs/volumes.md).
#pragma once

#include <functional>

#include "base/error.h"
#include "berth/v1/volume.pb.h"
#include "server/guest/engine.h"

namespace berth::server {

// The caller of all of this holds the guest's operation. That the guest may be frozen is on record before it
// is (Guest.file_systems_frozen), until its agent has said that it is not: whatever ends in between,
// EndOperation has it thawed.

// INVALID_ARGUMENT, INVALID_FIELD.
Status CheckQuiesce(v1::VolumeSnapshot::Quiesce quiesce);

// Does the work, in between a freeze and a thaw as far as that is asked for and possible, and puts into the
// operation's metadata whether it was. The work's errors; if quiescing is required: GuestAgent's, before the
// work is done, FAILED_PRECONDITION: NO_AGENT_PORT, AGENT_NOT_RUNNING; and after it was: ABORTED,
// QUIESCE_LOST, if the guest was thawed too early.
Status WhileQuiesced(Engine& engine, GuestEntry& guest, v1::VolumeSnapshot::Quiesce quiesce,
                     OperationProgress& progress, const std::function<Status()>& work);

// How many file systems were frozen until now. If it fails, the record stays, and the guest is to be thawed
// again after a while.
Result<int64_t> ThawFileSystems(Engine& engine, GuestEntry& guest);

}  // namespace berth::server
