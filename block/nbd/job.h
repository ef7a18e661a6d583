// A client's request while the server works on it, and its reply until that is sent.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "block/nbd/protocol.h"
#include "block/node.h"

namespace berth::block::nbd {

class Connection;

// Memory for a request's data: aligned for O_DIRECT, kept from one request to the next.
class DataBuffer {
 public:
  DataBuffer() = default;
  DataBuffer(DataBuffer&& other) noexcept
      : bytes_(std::move(other.bytes_)), capacity_(std::exchange(other.capacity_, 0)) {}
  DataBuffer& operator=(DataBuffer&& other) noexcept {
    bytes_ = std::move(other.bytes_);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }
  uint8_t* data() const { return bytes_.get(); }
  size_t capacity() const { return capacity_; }
  // False if there is no memory. The content is lost.
  bool Reserve(size_t size) {
    if (size <= capacity_) return true;
    Free();
    while (capacity_ < size) capacity_ = capacity_ == 0 ? kAlignment : capacity_ * 2;
    bytes_.reset(static_cast<uint8_t*>(std::aligned_alloc(kAlignment, capacity_)));
    if (bytes_ == nullptr) capacity_ = 0;
    return bytes_ != nullptr;
  }
  void Free() {
    bytes_.reset();
    capacity_ = 0;
  }

 private:
  static constexpr size_t kAlignment = 4096;
  struct Freer {
    void operator()(uint8_t* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<uint8_t[], Freer> bytes_;
  size_t capacity_ = 0;
};

struct Job : Request {
  Connection* connection = nullptr;
  uint16_t command = 0, flags = 0;
  uint64_t cookie = 0;
  uint32_t size = 0;        // As the client gave it.
  uint32_t held_bytes = 0;  // Counted as in flight.
  DataBuffer buffer;
  iovec piece{};
  std::vector<uint8_t> status{};  // Of kCmdBlockStatus: all chunks of the reply.

  // The reply: a head, and data behind it (`head_bytes` and `data_bytes` of them).
  std::array<uint8_t, kStructuredReplyBytes + 8> head{};
  uint32_t head_bytes = 0;
  std::span<const uint8_t> data{};
};

}  // namespace berth::block::nbd
