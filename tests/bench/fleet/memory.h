// Hosts whose guests were sold more memory than there is: how long they wait for it under Berth's autopilot,
// under other managers' published rules, and when nobody manages them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/simulated_host.h"

namespace berth::fleet {

// Decides every so many seconds, from what it is shown alone.
class MemoryRule {
 public:
  virtual ~MemoryRule() = default;
  virtual std::vector<server::MemoryAction> Step(const server::MemoryFacts& facts) = 0;
  virtual double interval_seconds() const = 0;
};

struct MemoryRuleKind {
  std::string name;
  std::function<std::unique_ptr<MemoryRule>()> make;  // For each host a new one.
};
// Berth first.
std::vector<MemoryRuleKind> MemoryRules();

struct MemoryOutcome {
  double stalled_percent = 0;   // Of the time: some task waits for memory.
  double out_of_memory = 0;     // Hosts on which something would have been killed, of a hundred.
  double squeezed_percent = 0;  // Of the time, guests whose balloon leaves them less than they need.
  double balloons_an_hour = 0;  // How often a guest's is changed.
};

// `hosts` hosts for an hour each, with guests drawn from the seed: heavy-tailed sizes, of which each needs a
// part, and for a while more.
MemoryOutcome SimulateMemory(const MemoryRuleKind& kind, int hosts, uint64_t seed);

}  // namespace berth::fleet
