// A fuzzer's bytes, taken from the front; zeros when there are no more.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

namespace berth {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : left_(data, size) {}

  bool empty() const { return left_.empty(); }
  template <typename T>
  T Take() {
    T value{};
    const std::span<const uint8_t> bytes = TakeBytes(sizeof(T));
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  // At most `size`.
  std::span<const uint8_t> TakeBytes(size_t size) {
    const std::span<const uint8_t> taken = left_.first(std::min(size, left_.size()));
    left_ = left_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const uint8_t> left_;
};

}  // namespace berth
