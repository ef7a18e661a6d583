// The assigned functions of one machine, as far as the reset of one may be that of others: buses and slots
// are reset as a whole.
#pragma once

#include <atomic>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "vfio/device.h"

namespace berth::vfio {

// Any thread.
class ResetNeighbours {
 public:
  // While `quiet`, the function does nothing, and another reset does it no harm. Both outlive their being
  // here.
  void Add(const Device* device, const std::atomic<bool>* quiet);
  void Remove(const Device* device);

  enum class Verdict {
    kAlone,  // Not all of them are this machine's.
    kLater,  // They are, and one is at work: maybe it is about to be reset, too.
    kNow,
  };
  // Whether a reset of all of `dependents`, of which `device` is one, is due. Then `groups` are those it is
  // done with.
  Verdict MayReset(const Device& device, std::span<const DependentDevice> dependents,
                   std::vector<int>* groups) const;

 private:
  struct Neighbour {
    const Device* device;
    const std::atomic<bool>* quiet;
  };
  mutable Mutex mutex_;
  std::vector<Neighbour> neighbours_ GUARDED_BY(mutex_);
};

}  // namespace berth::vfio
