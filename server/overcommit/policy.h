// How much more than it has a host may promise, and what a guest may count on: plain data.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "host/cpu_set.h"
#include "server/placement/cpu_pools.h"

namespace berth::server {

// What is done with a guest when a host runs out of memory and nothing else has helped, in the order in which
// it is done.
enum class LastResort { kNone, kFreeze, kEvict };

// Percentages are of the guest's vCPUs and of its memory. Shares weigh guests against each other where there
// is not enough for all (cgroup v2 cpu.weight).
struct GuestPolicy {
  int cpu_reservation_percent = 0;     // 0 to 100.
  int cpu_limit_percent = 0;           // 1 to 100; 0: none.
  int cpu_shares = 100;                // 1 to 10000, for each vCPU.
  int memory_reservation_percent = 0;  // 0 to 100; never taken back.
  int memory_limit_percent = 0;        // 1 to 100; 0: none.
  // Whether the kernel may merge its pages with equal ones of others (KSM): whoever shares a host can then
  // tell, by the time that a write takes, what another guest has in memory.
  bool merge_pages = false;
  LastResort last_resort = LastResort::kNone;

  friend bool operator==(const GuestPolicy&, const GuestPolicy&) = default;
};

// How the memory autopilot keeps a host (autopilot.h).
struct MemoryPolicy {
  bool autopilot = true;
  int available_percent = 10;  // Of memory, kept available; 1 to 50.
  int pressure_percent = 10;   // Of the time that some task waits for memory, what is tolerable; 1 to 100.
  int interval_seconds = 5;    // Between looks, 1 to 60; pressure has it look at once.
  uint64_t guest_memory_bytes = 0;  // For guests in all, their monitors included; 0: what the host has.

  friend bool operator==(const MemoryPolicy&, const MemoryPolicy&) = default;
};

struct HostPolicy {
  // Thousandths; at least 1000. What guests that share are promised is this much more than there is.
  int cpu_ratio = 4000;
  int memory_ratio = 1000;
  // Guests whose use of CPUs is known count by what they are predicted to use at most (cpu_peak.h), with so
  // many standard deviations; 0: by the ratio, as the others do.
  int cpu_peak_sigmas = 0;
  CpuPools pools;
  MemoryPolicy memory;
  host::CpuSet guest_nodes;    // Host NUMA nodes for guests; empty: all.
  GuestPolicy guest_defaults;  // For what a guest's owner leaves open.

  friend bool operator==(const HostPolicy&, const HostPolicy&) = default;
};

inline constexpr int kMaxPeakSigmas = 10;
inline constexpr int kMaxGuestMemoryMib = 1 << 26;  // 64 TiB.
inline constexpr int kMaxCpuRatio = 100'000, kMaxMemoryRatio = 10'000;
inline constexpr int kMaxCpuShares = 10'000;  // cpu.weight's own

// INVALID_ARGUMENT BAD_POLICY: shares of 0, a limit below the reservation, percentages out of range. The
// field is the member's name with dashes for underscores.
Status CheckGuestPolicy(const GuestPolicy& policy);

}  // namespace berth::server
