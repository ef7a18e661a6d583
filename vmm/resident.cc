#include "vmm/resident.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace berth::vmm {

std::vector<Range> ResidentRuns(const uint8_t* address, uint64_t size_bytes, uint64_t most) {
  static const auto kPage = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  std::array<unsigned char, 4096> present;
  std::vector<Range> runs;
  for (uint64_t at = 0; at < size_bytes && most > 0; at += present.size() * kPage) {
    const uint64_t length = std::min(size_bytes - at, present.size() * kPage);
    if (::mincore(const_cast<uint8_t*>(address) + at, length, present.data()) != 0) break;
    for (uint64_t page = 0; page < length / kPage && most > 0; ++page) {
      if ((present[page] & 1) == 0) continue;
      const uint64_t start = at + page * kPage, taken = std::min(kPage, most);
      if (!runs.empty() && runs.back().end() == start) {
        runs.back().size += taken;
      } else {
        runs.push_back({start, taken});
      }
      most -= taken;
    }
  }
  return runs;
}

}  // namespace berth::vmm
