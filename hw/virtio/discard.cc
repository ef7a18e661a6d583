#include "hw/virtio/discard.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"

namespace berth::hw {

void PageDiscarder::Discard(const GuestMemory& memory, uint64_t address, uint64_t size) {
  MutexLock lock(mutex_);
  if (pinned_) return;
  for (const RamRange& ram : memory.ranges()) {
    const Range there{ram.guest_address, ram.mapping.size};
    const uint64_t end = address > ~uint64_t{0} - size ? ~uint64_t{0} : address + size;
    const uint64_t first = std::max(address, there.start), last = std::min(end, there.end());
    if (first >= last) continue;
    // Offsets in the mapping: it is page-aligned here, whatever the guest's addresses are.
    const uint64_t from = AlignUp(first - there.start, kPageSize);
    const uint64_t to = AlignDown(last - there.start, kPageSize);
    if (from >= to) continue;
    // Shared memory: MADV_REMOVE punches a hole into the file, for everyone who maps it. Without a file the
    // pages are this process's own.
    const int advice = ram.mapping.fd >= 0 ? MADV_REMOVE : MADV_DONTNEED;
    if (::madvise(ram.mapping.address + from, to - from, advice) != 0) {
      LOG_WARNING_LIMITED("cannot give back {} bytes at {:#x}: {}", to - from, there.start + from,
                          SystemError(errno, "discard guest memory").message());
      continue;
    }
    discarded_bytes_.Add(to - from);
  }
}

void PageDiscarder::SetPinned(bool pinned) {
  MutexLock lock(mutex_);
  pinned_ = pinned;
}

bool PageDiscarder::pinned() const {
  MutexLock lock(mutex_);
  return pinned_;
}

std::vector<Range> PageRanges(std::vector<uint32_t> page_numbers) {
  std::sort(page_numbers.begin(), page_numbers.end());
  std::vector<Range> ranges;
  for (const uint32_t number : page_numbers) {
    const uint64_t address = number * PageDiscarder::kPageSize;
    if (!ranges.empty() && address <= ranges.back().end()) {
      ranges.back().size = address + PageDiscarder::kPageSize - ranges.back().start;
    } else {
      ranges.push_back({address, PageDiscarder::kPageSize});
    }
  }
  return ranges;
}

}  // namespace berth::hw
