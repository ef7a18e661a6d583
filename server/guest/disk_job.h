// Jobs of a VMM on what a disk stands on (StartDiskJob in control.proto), from berthd's side.
#pragma once

#include "base/error.h"
#include "server/guest/disk_change.h"

namespace berth::server {

struct DiskJobPlan {
  control::StartDiskJob::Kind kind = control::StartDiskJob::STREAM;
  VolumeName becomes;             // What the disk is afterwards.
  uint64_t bytes_per_second = 0;  // 0: no limit.
};

// Begins it, waits until it can be completed, and has it completed. CANCELLED; FAILED_PRECONDITION,
// GUEST_NOT_RUNNING, if the guest ends; what it fails with. Whichever way, it is over then. The caller holds
// the guest's operation, and settles the change that it has put on record.
Status RunDiskJob(GuestEntry& guest, const VolumeDisk& disk, const DiskJobPlan& plan,
                  OperationProgress& progress);

}  // namespace berth::server
