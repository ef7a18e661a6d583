// How what is done to a running guest's disk begins and ends, whichever it is: VolumeVerbs::ChangeDisk.
#pragma once

#include <functional>
#include <string_view>

#include "base/error.h"
#include "server/guest/disk_change.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

// What the operation does. It holds the guest's operation; what it owns is gone before that ends.
using DiskWork = std::function<Status(GuestEntry& guest, OperationProgress& progress)>;
// What can be refused at once is; else what there is to do.
using DiskWorkPlan = std::function<Result<DiskWork>(const v1::Guest& guest, const VolumeDisk& disk)>;

// Of the disk's volume. FAILED_PRECONDITION, DISK_RAW, if that is no image that can be exchanged under its
// guest; `instead` says what can be done, and when.
Result<uint64_t> SizeOfImage(const VolumePool& directory, const v1::Guest& guest, const VolumeDisk& disk,
                             std::string_view instead);

}  // namespace berth::server
