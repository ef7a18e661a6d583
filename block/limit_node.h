// LimitNode: a node whose requests begin no faster than it was told.
#pragma once

#include <cstdint>
#include <memory>

#include "base/event_loop.h"
#include "block/node.h"

namespace berth::block {

// Of a second; 0: no limit. A burst is what may begin at once after a time of rest; 0: a tenth of a second's.
struct IoLimits {
  uint64_t operations = 0;  // Reads, writes, zeroes and discards.
  uint64_t operations_burst = 0;
  uint64_t bytes = 0;  // Of reads and writes.
  uint64_t bytes_burst = 0;

  friend bool operator==(const IoLimits&, const IoLimits&) = default;
};

class LimitNode : public BlockNode {
 public:
  // From now on; what waits goes by the new limits. A bucket begins full.
  virtual void SetLimits(const IoLimits& limits) = 0;
};

// Requests beyond the limits wait in the order of their coming; flushes never wait. Drain does not wait for
// the limits: what waits begins at once.
std::unique_ptr<LimitNode> CreateLimitNode(EventLoop* loop, std::unique_ptr<BlockNode> node,
                                           const IoLimits& limits);

}  // namespace berth::block
