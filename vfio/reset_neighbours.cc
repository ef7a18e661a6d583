#include "vfio/reset_neighbours.h"

#include <algorithm>

namespace berth::vfio {
namespace {

// As VFIO names a PCI function, but for what may follow.
std::string NameOf(const DependentDevice& dependent) {
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", dependent.segment, dependent.bus, dependent.devfn >> 3,
                     dependent.devfn & 7);
}

}  // namespace

void ResetNeighbours::Add(const Device* device, const std::atomic<bool>* quiet) {
  MutexLock lock(mutex_);
  neighbours_.push_back({device, quiet});
}

void ResetNeighbours::Remove(const Device* device) {
  MutexLock lock(mutex_);
  std::erase_if(neighbours_, [device](const Neighbour& one) { return one.device == device; });
}

ResetNeighbours::Verdict ResetNeighbours::MayReset(const Device& device,
                                                   std::span<const DependentDevice> dependents,
                                                   std::vector<int>* groups) const {
  MutexLock lock(mutex_);
  bool all_quiet = true;
  for (const DependentDevice& dependent : dependents) {
    const std::string name = NameOf(dependent);
    const auto found = std::find_if(neighbours_.begin(), neighbours_.end(), [&](const Neighbour& one) {
      return one.device->name().starts_with(name);
    });
    if (found == neighbours_.end()) return Verdict::kAlone;
    all_quiet = all_quiet && (found->device == &device || *found->quiet);
    const int group = found->device->group().fd();
    if (std::find(groups->begin(), groups->end(), group) == groups->end()) groups->push_back(group);
  }
  return all_quiet ? Verdict::kNow : Verdict::kLater;
}

}  // namespace berth::vfio
