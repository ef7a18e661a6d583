// An IoEngine whose kernel does what the test says: operations run when they are waited for, in the order the
// test picks, and may fail, fall short or be refused for their alignment.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "block/engine.h"

namespace berth::block {

class FakeEngine final : public IoEngine {
 public:
  void Submit(List<IoOp> batch) override;
  // Performs the oldest operation that is held.
  void Wait() override;
  Status PrepareDiscard() override { return Ok(); }
  const char* name() const override { return "fake"; }

  // Performs the operation at `index` of those held.
  void PerformHeld(size_t index);
  const std::deque<IoOp*>& held() const { return held_; }

  // The results of the operations to come, in order, instead of doing anything; kPerform does it, kHalf half
  // of it.
  static constexpr int64_t kPerform = INT64_MAX, kHalf = INT64_MAX - 1;
  std::deque<int64_t> results;
  // Vectors that are not whole blocks at addresses aligned like this get EINVAL, as O_DIRECT does; 1: any
  // will do.
  uint64_t block_size = 1, memory_alignment = 1;
  // Every call to Submit: how many operations it brought.
  std::vector<int> batches;
  // Every operation performed.
  std::vector<IoOp> log;

 private:
  int64_t Do(const IoOp& op, bool half) const;

  std::deque<IoOp*> held_;
};

}  // namespace berth::block
