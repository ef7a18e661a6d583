// A block node in memory whose requests complete when the test says so, and fail when it says so.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "block/node.h"

namespace berth::block {

class FakeBlockNode final : public BlockNode {
 public:
  explicit FakeBlockNode(uint64_t size_bytes) : content(size_bytes) {}
  ~FakeBlockNode() override { Drain(); }

  uint64_t size_bytes() const override { return content.size(); }
  const Limits& limits() const override { return node_limits; }
  void Submit(List<Request> batch) override;
  void Drain() override;
  Status Grow(uint64_t size_bytes) override;

  // What a request was when it came.
  struct Seen {
    Op op;
    bool fua, may_unmap;
    uint64_t offset, length;
    friend bool operator==(const Seen&, const Seen&) = default;
  };

  std::vector<uint8_t> content;
  Limits node_limits;
  bool hold = false;          // Keep requests until Drain or Release.
  std::deque<Request*> held;  // Oldest first.
  std::deque<int> errors;     // Of the requests to come, in order; 0 performs them.
  std::vector<Seen> log;
  std::vector<int> batches;  // How many requests each Submit brought.

  // Carries out and completes the request at `index` of those held.
  void Release(size_t index);

 private:
  void Carry(const Request& request);
};

}  // namespace berth::block
