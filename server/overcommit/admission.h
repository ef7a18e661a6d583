// Whether a host promises a guest what it asks for, and what that counts for. Nodes are placement's affair:
// this is the host as a whole, so that a refusal shows the sum that did not come out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "server/overcommit/overhead.h"
#include "server/overcommit/policy.h"
#include "server/placement/host_room.h"

namespace berth::server {

struct GuestDemand {
  GuestSize size;
  int dedicated_vcpus = 0;  // The rest of size.vcpus share.
  // Its memory is pinned and its devices busy: it counts in full, whatever the ratios.
  bool passthrough = false;
  GuestPolicy policy;
};

// What a host has for guests, and has promised.
struct HostUse {
  int cores = 0;
  int vcpus = 0;        // Of guests that are promised something.
  int shared_cpus = 0;  // To share now.
  int64_t shared_millicpus = 0;
  int dedicable_cpus = 0;                         // Free.
  uint64_t memory_bytes = 0, promised_bytes = 0;  // In pages of the guest's size.
};
// `vcpus` is not in the room: the caller counts them.
HostUse UseOf(const HostModel& model, const HostRoom& room, uint64_t page_size_bytes, int vcpus);

struct Admission {
  int millicpus_per_shared_vcpu = 1000;
  int memory_permille = 1000;
  uint64_t overhead_bytes = 0;
  int cpu_weight = 100;                // cgroup v2 cpu.weight: shares times vCPUs that share.
  int64_t cpu_limit_millicpus = 0;     // 0: none.
  uint64_t memory_reserved_bytes = 0;  // memory.min: overhead included.
  uint64_t memory_limit_bytes = 0;     // memory.max, overhead included; 0: none.
  std::vector<std::string> warnings;
};

// More vCPUs a core than this are warned of (Red Hat Virtualization's guideline).
inline constexpr int kMaxVcpusPerCore = 10;

// RESOURCE_EXHAUSTED: NOT_ENOUGH_HOST_CPUS, NOT_ENOUGH_SHARED_CPUS, NOT_ENOUGH_MEMORY, NOT_ENOUGH_HUGE_PAGES;
// GUEST_WIDER_THAN_HOST. INVALID_ARGUMENT: CheckGuestPolicy; OVERCOMMITTED_PASSTHROUGH for a memory limit on
// memory that is pinned.
Result<Admission> Admit(const HostPolicy& host, const GuestDemand& guest, const HostUse& use,
                        const std::vector<OverheadSample>& samples);

}  // namespace berth::server
