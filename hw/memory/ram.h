// The memory behind guest RAM: a shared mapping of a memfd or a hugetlbfs file that was handed to us, or
// private memory whose pages the kernel may merge with equal ones.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/error.h"
#include "base/unique_fd.h"
#include "hw/memory/region.h"

namespace berth::hw {

class RamBlock {
 public:
  // Maps `size_bytes` of `memory` from its start, shared, without reserving or touching it. `host_nodes`
  // binds the pages to these NUMA nodes (MPOL_BIND) before any exists; empty is the node of whoever touches a
  // page first (MPOL_LOCAL). Transparent huge pages are asked for where the file allows them.
  // RESOURCE_EXHAUSTED when the file is shorter or the binding is refused.
  static Result<std::unique_ptr<RamBlock>> Create(UniqueFd memory, uint64_t size_bytes,
                                                  std::span<const uint32_t> host_nodes);
  // Memory of this process alone, without a file (mapping().fd is -1), which KSM may merge: it merges
  // anonymous pages only. Not for memory that devices reach by DMA.
  static Result<std::unique_ptr<RamBlock>> CreateMergeable(uint64_t size_bytes,
                                                           std::span<const uint32_t> host_nodes);
  ~RamBlock();
  RamBlock(const RamBlock&) = delete;

  // Has the kernel make all of its pages now, on so many threads at once: much quicker than one by one when
  // devices have them pinned. What cannot be had is left for the pinning, which says why.
  void Populate(unsigned threads) const;

  // The whole block, or a part of it.
  HostMapping mapping() const { return {address_, size_, fd_.get(), 0}; }
  HostMapping Slice(uint64_t offset, uint64_t size_bytes) const;

 private:
  static Result<std::unique_ptr<RamBlock>> Map(UniqueFd fd, uint64_t size_bytes, int flags,
                                               std::span<const uint32_t> host_nodes);
  RamBlock(UniqueFd fd, uint8_t* address, uint64_t size)
      : fd_(std::move(fd)), address_(address), size_(size) {}
  const UniqueFd fd_;
  uint8_t* const address_;
  const uint64_t size_;
};

}  // namespace berth::hw
