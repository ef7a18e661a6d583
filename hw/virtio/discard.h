// Gives pages of guest RAM back to the host: their content is lost, and they read as zero until they are
// written.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/counter.h"
#include "base/mutex.h"
#include "hw/memory/guest_memory.h"

namespace berth::hw {

class PageDiscarder {
 public:
  static constexpr uint64_t kPageSize = 4096;

  // Discards the whole pages of [address, address + size) that are RAM; the guest named them, so nothing
  // about them has been checked. Does nothing while memory is pinned: a device would go on with the old
  // pages, and the guest with new ones. Memory in huge pages comes back in whole ones only. One thread.
  void Discard(const GuestMemory& memory, uint64_t address, uint64_t size) EXCLUDES(mutex_);

  // Whether a device has guest memory mapped for DMA. When it returns no discard is under way. Any thread;
  // call it before the memory is mapped, and after it is unmapped.
  void SetPinned(bool pinned) EXCLUDES(mutex_);
  bool pinned() const EXCLUDES(mutex_);

  const Counter& discarded_bytes() const { return discarded_bytes_; }

 private:
  mutable Mutex mutex_;
  bool pinned_ GUARDED_BY(mutex_) = false;
  Counter discarded_bytes_;
};

// Sorted, without repetition, neighbours joined: what a list of page numbers covers. Pure.
std::vector<Range> PageRanges(std::vector<uint32_t> page_numbers);

}  // namespace berth::hw
