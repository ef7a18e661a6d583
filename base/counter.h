// A number that grows: written by one thread, read by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace berth {

class Counter {
 public:
  void Add(uint64_t amount = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// A counter under the name it is reported by ("read_bytes"); borrowed from its owner.
struct NamedCounter {
  std::string name;
  const Counter* counter = nullptr;
};

}  // namespace berth
