// The memory autopilot: from what a host and its guests look like, what is done next. Reads nothing and knows
// no clock; docs/overcommit.md has its rules.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "server/overcommit/balloon_law.h"
#include "server/overcommit/memory_facts.h"
#include "server/overcommit/reclaim_law.h"
#include "server/overcommit/shortage.h"

namespace berth::server {

class MemoryAutopilot {
 public:
  // Each means has so long before the next one is tried besides.
  static constexpr double kRungSeconds = 10;

  explicit MemoryAutopilot(const MemoryPolicy& policy) : policy_(policy), shortage_(policy) {}

  // What to do now, in order. `facts.seconds` never goes back. What was done before is seen in the facts
  // alone: another MemoryAutopilot may go on where one ended.
  std::vector<MemoryAction> Step(const MemoryFacts& facts);

  const ShortageLaw::Verdict& verdict() const { return verdict_; }

 private:
  enum class Rung { kBalloon, kReclaim, kMerge, kLastResort };
  // Whether it did anything, and by how much that makes `missing` less.
  bool Take(Rung rung, const MemoryFacts& facts, uint64_t* missing, std::vector<MemoryAction>* actions);
  void Climb(const MemoryFacts& facts, std::vector<MemoryAction>* actions);
  void StepKsm(const MemoryFacts& facts, bool wanted, std::vector<MemoryAction>* actions);
  bool Sacrifice(const MemoryFacts& facts, std::vector<MemoryAction>* actions);

  const MemoryPolicy policy_;
  ShortageLaw shortage_;
  ShortageLaw::Verdict verdict_;
  BalloonLaw balloons_;
  ReclaimLaw reclaim_;
  Rung rung_ = Rung::kBalloon;  // The farthest one reached since the host became short.
  double reached_ = 0;          // When.
  uint64_t saved_pages_ = 0;    // By merging, at the last step.
  double sacrificed_ = 0;
};

}  // namespace berth::server
