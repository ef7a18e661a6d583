// An image in memory, as the bytes beneath a format; its operations fail when the test says so.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "base/pieces.h"
#include "block/image.h"

namespace berth::block {

class MemoryImage final : public Image {
 public:
  explicit MemoryImage(std::vector<uint8_t> bytes, uint64_t max_bytes = 64 << 20)
      : content(std::move(bytes)), max_bytes_(max_bytes) {
    SetIdentity("file", "memory");
  }

  uint64_t size_bytes() const override { return content.size(); }
  const Limits& limits() const override { return limits_; }
  int Perform(const Request& request) override {
    const std::lock_guard lock(mutex_);
    if (fail_after == 0) return EIO;
    if (request.op != Op::kRead && fail_after > 0) --fail_after;
    const uint64_t end = request.offset + request.length;
    if (request.op == Op::kWrite || request.op == Op::kWriteZeroes) {
      if (request.offset > max_bytes_ || end > max_bytes_) return ENOSPC;
      if (end > content.size()) content.resize(end);
    }
    const uint64_t start = std::min<uint64_t>(request.offset, content.size());
    const std::span<uint8_t> there(content.data() + start,
                                   std::min<uint64_t>(request.length, content.size() - start));
    switch (request.op) {
      case Op::kRead:
        CopyToPieces(request.pieces, 0, there);
        ZeroPieces(request.pieces, there.size());
        break;
      case Op::kWrite:
        CopyFromPieces(request.pieces, 0, there);
        break;
      case Op::kWriteZeroes:
      case Op::kDiscard:
        std::fill(there.begin(), there.end(), 0);
        break;
      case Op::kFlush:
        break;
    }
    return 0;
  }
  Status Resize(uint64_t size, Preallocation) override {
    if (size > max_bytes_) return FailErrno(ENOSPC, "grow");
    content.resize(size);
    return Ok();
  }

  std::vector<uint8_t> content;
  int fail_after = -1;  // Changes until everything fails; -1: never.

 private:
  const uint64_t max_bytes_;
  const Limits limits_;
  std::mutex mutex_;
};

}  // namespace berth::block
