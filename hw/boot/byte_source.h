// A file to load from: read at offsets, never mapped (it may shrink under our hands), never trusted.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"

namespace berth::hw {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size_bytes() const = 0;
  // Fills all of `out` from `offset`. OUT_OF_RANGE if the source ends before that.
  virtual Status Read(uint64_t offset, std::span<const iovec> out) = 0;

  Status Read(uint64_t offset, std::span<uint8_t> out) {
    const iovec piece{out.data(), out.size()};
    return Read(offset, std::span(&piece, 1));
  }
};

// A regular file by its descriptor (borrowed); `name` is for messages ("kernel").
class FileSource final : public ByteSource {
 public:
  static Result<FileSource> Create(int fd, std::string name);
  uint64_t size_bytes() const override { return size_bytes_; }
  Status Read(uint64_t offset, std::span<const iovec> out) override;
  using ByteSource::Read;

 private:
  FileSource(int fd, std::string name, uint64_t size) : fd_(fd), name_(std::move(name)), size_bytes_(size) {}
  int fd_;
  std::string name_;
  uint64_t size_bytes_;
};

// Bytes in memory (borrowed), for tests and fuzzers.
class SpanSource final : public ByteSource {
 public:
  explicit SpanSource(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint64_t size_bytes() const override { return bytes_.size(); }
  Status Read(uint64_t offset, std::span<const iovec> out) override;
  using ByteSource::Read;

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace berth::hw
