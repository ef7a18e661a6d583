// A file in memory that remembers every change and every flush, so that a test can make the file that a crash
// would have left.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "base/pieces.h"
#include "block/image.h"

namespace berth::block {

struct LoggedWrite {
  bool flush = false;
  int file = 0;  // Of several that share a log.
  uint64_t offset = 0;
  std::vector<uint8_t> bytes{};
};

// For one thread.
class WriteLogImage final : public Image {
 public:
  WriteLogImage(std::vector<uint8_t> content, std::vector<LoggedWrite>* log, int file = 0)
      : content_(std::move(content)), log_(log), file_(file) {
    SetIdentity("file", "log");
  }

  uint64_t size_bytes() const override { return content_.size(); }
  const Limits& limits() const override { return limits_; }
  int Perform(const Request& request) override {
    if (request.op == Op::kFlush) {
      log_->push_back({.flush = true, .file = file_});
    } else if (request.op == Op::kRead) {
      const uint64_t start = std::min<uint64_t>(request.offset, content_.size());
      const uint64_t length = std::min<uint64_t>(request.length, content_.size() - start);
      CopyToPieces(request.pieces, 0, {content_.data() + start, length});
      ZeroPieces(request.pieces, length);
    } else {
      LoggedWrite write{
          .file = file_, .offset = request.offset, .bytes = std::vector<uint8_t>(request.length)};
      if (request.op == Op::kWrite) CopyFromPieces(request.pieces, 0, write.bytes);
      Apply(write, ~uint64_t{0}, &content_);
      log_->push_back(std::move(write));
    }
    return 0;
  }
  Status Resize(uint64_t size, Preallocation) override {
    content_.resize(size);
    return Ok();
  }

  // Of the write's sectors of 512 bytes those whose bit is set (bit 63 stands for all from there on).
  static void Apply(const LoggedWrite& write, uint64_t sectors, std::vector<uint8_t>* content) {
    constexpr uint64_t kSector = 512;
    if (write.offset + write.bytes.size() > content->size())
      content->resize(write.offset + write.bytes.size());
    for (uint64_t at = 0, i = 0; at < write.bytes.size(); ++i) {
      const uint64_t step = std::min(kSector - (write.offset + at) % kSector, write.bytes.size() - at);
      if ((sectors >> std::min<uint64_t>(i, 63)) & 1) {
        std::copy_n(write.bytes.begin() + static_cast<ptrdiff_t>(at), step,
                    content->begin() + static_cast<ptrdiff_t>(write.offset + at));
      }
      at += step;
    }
  }

 private:
  std::vector<uint8_t> content_;
  std::vector<LoggedWrite>* const log_;
  const int file_;
  const Limits limits_;
};

// The file after a crash: of what was written since the last flush, whatever chance leaves, some of it torn
// between sectors.
inline std::vector<uint8_t> CrashedFile(std::vector<uint8_t> durable, std::span<const LoggedWrite> since,
                                        std::mt19937_64* random) {
  for (const LoggedWrite& write : since) {
    const uint64_t chance = (*random)() % 3;
    WriteLogImage::Apply(write, chance == 0 ? ~uint64_t{0} : chance == 1 ? 0 : (*random)(), &durable);
  }
  return durable;
}

}  // namespace berth::block
