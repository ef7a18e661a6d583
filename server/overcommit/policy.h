// How much more than it has a host may promise, and what a guest may count on: plain data.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "host/cpu_set.h"
#include "server/placement/cpu_pools.h"

namespace berth::server {

// Percentages are of the guest's vCPUs and of its memory. Shares weigh guests against each other where there
// is not enough for all (cgroup v2 cpu.weight).
struct GuestPolicy {
  int cpu_reservation_percent = 0;     // 0 to 100.
  int cpu_limit_percent = 0;           // 1 to 100; 0: none.
  int cpu_shares = 100;                // 1 to 10000, for each vCPU.
  int memory_reservation_percent = 0;  // 0 to 100; never taken back.
  int memory_limit_percent = 0;        // 1 to 100; 0: none.

  friend bool operator==(const GuestPolicy&, const GuestPolicy&) = default;
};

struct HostPolicy {
  // Thousandths; at least 1000. What guests that share are promised is this much more than there is.
  int cpu_ratio = 4000;
  int memory_ratio = 1000;
  CpuPools pools;
  host::CpuSet guest_nodes;    // Host NUMA nodes for guests; empty: all.
  GuestPolicy guest_defaults;  // For what a guest's owner leaves open.

  friend bool operator==(const HostPolicy&, const HostPolicy&) = default;
};

inline constexpr int kMaxCpuRatio = 100'000, kMaxMemoryRatio = 10'000;
inline constexpr int kMaxCpuShares = 10'000;  // cpu.weight's own

// INVALID_ARGUMENT BAD_POLICY: shares of 0, a limit below the reservation, percentages out of range. The
// field is the member's name with dashes for underscores.
Status CheckGuestPolicy(const GuestPolicy& policy);

}  // namespace berth::server
