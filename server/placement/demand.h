// What each of a guest's NUMA nodes takes from the host node that it goes to, in numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "server/placement/host_model.h"
#include "server/placement/request.h"

namespace berth::server {

// The same for all nodes of a guest.
struct CpuShape {
  int group = 1;         // Dedicated vCPUs that go to one core together.
  bool isolate = false;  // One to a core, the other threads idle.
  CoreKind kind = CoreKind::kAny;
};

struct Demand {
  std::vector<int> dedicated_vcpus, shared_vcpus;  // Ascending.
  int helpers = 0;                                 // CPUs of their own for other threads.
  int64_t millicpus = 0;                           // Of the shared CPUs.
  uint64_t pages = 0;                              // Of the request's size.
  uint64_t bytes = 0;                              // What these count for.
  uint64_t overhead_bytes = 0;                     // In ordinary pages.
  int host_node = -1;                              // Index; -1: any.
  std::vector<int> cpu_nodes;                      // Of the host CPUs that the owner chose: indices.

  int dedicated() const { return static_cast<int>(dedicated_vcpus.size()); }
  int shared() const { return static_cast<int>(shared_vcpus.size()); }
};

// Thread counts that the host cannot do. INVALID_ARGUMENT BAD_PLACEMENT, FAILED_PRECONDITION NO_HOST_THREADS.
Result<CpuShape> ShapeOf(const HostModel& model, const PlacementRequest& request);

// For each guest node. BAD_PLACEMENT if a guest's core is half dedicated, or its threads fill no host cores.
Result<std::vector<Demand>> DemandsOf(const HostModel& model, const PlacementRequest& request,
                                      const std::vector<PlacementRequest::Node>& nodes,
                                      const CpuShape& shape);

// What a page of ordinary or huge memory counts for.
uint64_t BytesPerPage(const PlacementRequest& request);

// `count` even nodes: whole guest cores each, and memory by their number.
std::vector<PlacementRequest::Node> SplitEvenly(const PlacementRequest& request, int count, int group);

// What a shared emulator counts for.
inline constexpr int kSharedHelperMillicpus = 100;

}  // namespace berth::server
