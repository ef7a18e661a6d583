// Which guests' idle memory the kernel is told to swap out (cgroup v2 memory.reclaim).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "server/overcommit/memory_facts.h"

namespace berth::server {

class ReclaimLaw {
 public:
  // One step takes at most this part of a guest's memory.
  static constexpr uint64_t kStepPart = 16;
  // A guest whose memory came back soon, or that waits for it, is left alone for so long.
  static constexpr double kBackOffSeconds = 60;
  // Of what was reclaimed: more than this part coming back means that it was in use.
  static constexpr uint64_t kRefaultPart = 10;

  // kReclaim, at most `missing_bytes` in all: largest idle parts first, then, in steps of half the size, of
  // guests that say they need it all. `working_set` is a guest's, by name. Nothing without room in swap.
  std::vector<MemoryAction> Step(const MemoryFacts& facts, uint64_t missing_bytes, const MemoryPolicy& policy,
                                 const std::function<uint64_t(const std::string&)>& working_set);

 private:
  struct Guest {
    uint64_t reclaimed_pages = 0, refaulted_pages = 0;  // At the last reclaim.
    double left_alone_until = 0;
  };
  bool LeftAlone(const GuestMemoryFacts& guest, double seconds, const MemoryPolicy& policy);

  std::map<std::string, Guest> guests_;
};

}  // namespace berth::server
