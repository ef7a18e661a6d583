// How large each guest's balloon should be.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "server/overcommit/memory_facts.h"
#include "server/overcommit/shortage.h"
#include "server/overcommit/working_set.h"

namespace berth::server {

// Keeps what guests may use, taken together, within what there is, so that a guest that suddenly uses what it
// was sold finds it, or has been told before. Where all fits, no guest has a balloon.
class BalloonLaw {
 public:
  // A guest that was given memory keeps it for so long, and one that gave some up is not handed it back at
  // once: unless it is in need, or the host is.
  static constexpr double kHoldSeconds = 30;
  // Smaller changes are not worth the trouble: a part of the guest's memory.
  static constexpr uint64_t kDeadPart = 32;
  // The most that one step takes or gives, unless somebody is in need.
  static constexpr uint64_t kStepPart = 8;
  // What a guest has beyond its working set before it is thought to be in want.
  static constexpr uint64_t kRoomPart = 8;

  // kShrink and kGrow.
  std::vector<MemoryAction> Step(const MemoryFacts& facts, const ShortageLaw::Verdict& shortage);

  // As of the last step, of a guest that was in it.
  uint64_t WorkingSetOf(const std::string& guest) const { return guests_.at(guest).needed_bytes; }

 private:
  struct Guest {
    WorkingSet working_set;
    uint64_t needed_bytes = 0;
    double shrunk = -kHoldSeconds, grown = -kHoldSeconds;  // When.
  };
  void Learn(const MemoryFacts& facts);

  std::map<std::string, Guest> guests_;
};

}  // namespace berth::server
