// Which CPUs a thread may run on.
#pragma once

#include "base/error.h"
#include "host/cpu_set.h"

namespace berth::host {

// sched_setaffinity(2), read back: FAILED_PRECONDITION, reason AFFINITY_NOT_HELD, if the kernel narrowed it
// (a cpuset, an offline CPU). NOT_FOUND if there is no such thread.
Status SetAffinity(int tid, const CpuSet& cpus);
Result<CpuSet> GetAffinity(int tid);

}  // namespace berth::host
