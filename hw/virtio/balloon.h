// The memory balloon: VIRTIO 1.2 section 5.5. The guest gives pages up when asked (inflates), takes them
// back, reports pages it does not use at the moment, and tells how its memory is used.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "hw/virtio/device.h"

namespace berth::hw {

struct VirtioBalloonOptions {
  bool free_page_reporting = false;
  // The guest may take pages back when it would run out of memory otherwise.
  bool deflate_on_oom = false;
  // A device has guest memory mapped for DMA from the start; see SetPinned.
  bool pinned = false;
};

// By tag (5.5.6.3): bytes, but for the counts of faults and allocations. Empty where the guest does not say.
struct BalloonStatistics {
  static constexpr size_t kCount = 10;
  enum Tag : uint16_t {
    kSwapIn = 0,
    kSwapOut = 1,
    kMajorFaults = 2,
    kMinorFaults = 3,
    kFree = 4,
    kTotal = 5,
    kAvailable = 6,
    kCaches = 7,
    kHugeAllocations = 8,
    kHugeFailures = 9,
  };
  std::array<std::optional<uint64_t>, kCount> values;
  uint64_t updates = 0;  // How often the guest has answered since its driver is there.
};

struct BalloonState {
  uint64_t target_bytes = 0;     // What the guest is asked to give up.
  uint64_t actual_bytes = 0;     // What it says it has given up.
  uint64_t discarded_bytes = 0;  // What was given back to the host, in all, inflated and reported.
};

// All of these: any thread.
class VirtioBalloon : public VirtioDevice {
 public:
  static Result<std::unique_ptr<VirtioBalloon>> Create(const VirtioBalloonOptions& options);

  // Asks the guest for so much memory. FAILED_PRECONDITION (MEMORY_PINNED) for more than 0 while memory is
  // pinned.
  virtual Status SetTarget(uint64_t size_bytes) = 0;
  virtual BalloonState state() const = 0;
  // While memory is pinned the guest's pages stay where they are, whatever it says, and its target is 0. Set
  // it before the first device maps guest memory, take it back after the last has gone.
  virtual void SetPinned(bool pinned) = 0;

  // Asks the guest for fresh statistics, which `statistics` has once it has answered.
  virtual void RequestStatistics() = 0;
  virtual BalloonStatistics statistics() const = 0;
};

}  // namespace berth::hw
