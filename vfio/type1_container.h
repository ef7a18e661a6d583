// A VFIO container with the type1 (version 2) IOMMU interface: <linux/vfio.h>, VFIO_TYPE1v2_IOMMU.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "vfio/dma_space.h"
#include "vfio/syscalls.h"

namespace berth::vfio {

// The kernel gives a container its IOMMU with the first group and takes it away, mappings included, with the
// last. Map may be called at any time all the same: what is mapped while there is no group is pinned when one
// comes, and fails there.
class Type1Container final : public DmaSpace {
 public:
  // `container` is an open /dev/vfio/vfio. UNIMPLEMENTED if the kernel's VFIO is of another version or has no
  // type1v2.
  static Result<std::unique_ptr<Type1Container>> Create(UniqueFd container,
                                                        Syscalls& syscalls = KernelSyscalls());

  // Brings a group (borrowed; stays open until RemoveGroup) into this container. FAILED_PRECONDITION with a
  // reason if the group's IOMMU does not go with what is mapped already.
  Status AddGroup(int group_fd);
  // All devices of the group are closed.
  void RemoveGroup(int group_fd);

  Status Map(const DmaMapping& mapping) override;
  Status Unmap(Range range) override;
  Result<DmaLimits> Limits() const override;

 private:
  struct Entry {
    DmaMapping mapping;
    bool live = false;  // The kernel has it.
  };
  Type1Container(UniqueFd container, Syscalls& syscalls) : fd_(std::move(container)), syscalls_(syscalls) {}
  Status EnableIommu() REQUIRES(mutex_);
  void Leave(int group_fd) REQUIRES(mutex_);
  Status MapNow(Entry* entry) REQUIRES(mutex_);
  Status UnmapNow(const Range& range) REQUIRES(mutex_);
  Result<DmaLimits> ReadLimits() const;

  const UniqueFd fd_;
  Syscalls& syscalls_;
  mutable Mutex mutex_;
  std::vector<int> groups_ GUARDED_BY(mutex_);
  std::map<uint64_t, Entry> entries_ GUARDED_BY(mutex_);  // By IOVA.
  uint64_t pinned_bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace berth::vfio
