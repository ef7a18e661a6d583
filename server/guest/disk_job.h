// Jobs of a VMM on what a disk stands on (StartDiskJob in control.proto), from berthd's side.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"
#include "server/guest/disk_change.h"

namespace berth::server {

struct DiskJobPlan {
  control::StartDiskJob::Kind kind = control::StartDiskJob::STREAM;
  VolumeName becomes;             // What the disk is afterwards.
  uint64_t bytes_per_second = 0;  // 0: no limit.
  // Of a mirror: what it copies to; and what is done once it can be completed, which returns the file of the
  // mark.
  std::string target_format;
  UniqueFd target;
  std::function<Result<UniqueFd>()> before_completing;
};

// Begins it, waits until it can be completed, and has it completed. CANCELLED; FAILED_PRECONDITION,
// GUEST_NOT_RUNNING, if the guest ends; what it fails with. Whichever way, it is over then. The caller holds
// the guest's operation, and settles the change that it has put on record.
Status RunDiskJob(GuestEntry& guest, const VolumeDisk& disk, DiskJobPlan plan, OperationProgress& progress);

}  // namespace berth::server
