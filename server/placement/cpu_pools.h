// What the host's CPUs are for, as the daemon's configuration says.
#pragma once

#include "base/error.h"
#include "host/cpu_set.h"
#include "host/snapshot.h"

namespace berth::server {

// No CPU is in two. Housekeeping CPUs are the host's own. With neither of the others set, guests that share
// and guests with CPUs of their own take from all that is left, unless the kernel was told to isolate some
// (isolcpus): those are then the dedicated ones. With one of them set, the other is the rest.
struct CpuPools {
  host::CpuSet housekeeping, dedicated, shared;

  friend bool operator==(const CpuPools&, const CpuPools&) = default;
};

// The same with everything spelled out, and offline CPUs left out. `common`: dedicated and shared are one
// set.
struct ResolvedCpuPools {
  host::CpuSet housekeeping, dedicated, shared;
  bool common = false;
};
ResolvedCpuPools Resolve(const CpuPools& pools, const host::CpuTopology& topology);

}  // namespace berth::server
