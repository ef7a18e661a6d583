// Counts of references, one a cluster, as a check finds them. Memory follows what is referred to, not the
// offsets that an image claims.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>

namespace berth::block::qcow2 {

class ReferenceCounts {
 public:
  // False if the count is at its limit, or kMaxPages are in use.
  bool Add(uint64_t cluster) {
    auto& page = pages_[cluster / kPageClusters];
    if (!page) {
      if (pages_.size() > kMaxPages) return false;
      page = std::make_unique<Page>();
    }
    uint32_t& count = (*page)[cluster % kPageClusters];
    if (count == UINT32_MAX) return false;
    ++count;
    end_ = std::max(end_, cluster + 1);
    return true;
  }
  uint64_t Get(uint64_t cluster) const {
    const auto page = pages_.find(cluster / kPageClusters);
    return page == pages_.end() ? 0 : (*page->second)[cluster % kPageClusters];
  }
  // The first cluster from here on that could have a count; UINT64_MAX: none.
  uint64_t NextPossible(uint64_t cluster) const {
    const auto page = pages_.lower_bound(cluster / kPageClusters);
    return page == pages_.end() ? UINT64_MAX : std::max(cluster, page->first * kPageClusters);
  }
  // One past the last cluster that has a count.
  uint64_t end() const { return end_; }

 private:
  static constexpr uint64_t kPageClusters = 4096;
  static constexpr size_t kMaxPages = 1 << 17;  // 2 GiB of counts, 32 TiB of 64 KiB clusters.
  using Page = std::array<uint32_t, kPageClusters>;
  std::map<uint64_t, std::unique_ptr<Page>> pages_;
  uint64_t end_ = 0;
};

}  // namespace berth::block::qcow2
