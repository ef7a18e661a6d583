// Copies the content of images, one behind the other, into another.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "block/chain.h"
#include "block/format_image.h"
#include "block/image.h"

namespace berth::block {

struct CopyOptions {
  int threads = 8;
  bool in_order = true;  // Of writing, where the target's layout would depend on chance.
  bool compress = false;
  bool offload = false;          // File systems copy where they can; they may share the blocks.
  bool salvage = false;          // What cannot be read is taken as zeroes.
  uint64_t sparse_bytes = 4096;  // Runs of zeroes from here on are not written; 0: everything is.
  bool target_is_zero = false;   // What is not written reads as zeroes.
  bool target_has_backing =
      false;               // What the source does not have itself is left to the target's backing image.
  Image* base = nullptr;   // Only what lies above this image of the source's chain is copied.
  bool overwrite = false;  // The target has content: zeroes are written as well, and all data as it is.
  uint64_t bytes_per_second = 0;  // 0: no limit.

  // Told, under a lock, how far it is: of the data, if that is to be measured before; else of the whole disk.
  std::function<void(uint64_t done, uint64_t all)> progress{};
  bool measure = false;
  // Told of what could not be read.
  std::function<void(const std::string& text)> warn{};
  // Asked between any two steps.
  std::function<bool()> cancelled{};
};

inline constexpr int kMaxCopyThreads = 16;

class Copier {
 public:
  // The images outlive the copier.
  Copier(std::vector<Image*> sources, Image* target, CopyOptions options);
  // The first error, as a sentence; CANCELLED. Flushes nothing.
  Status Run();

 private:
  // What one thread does next.
  struct Segment {
    enum class Kind : uint8_t { kZero, kData } kind = Kind::kData;
    uint64_t offset = 0;  // In the target.
    uint64_t length = 0;
    uint64_t ticket = 0;
  };
  struct Buffers {
    std::vector<uint8_t> data, packed;
  };

  void RunThreads() EXCLUDES(mutex_);
  bool Next(Segment* segment) EXCLUDES(mutex_);
  bool MeasureWork() EXCLUDES(mutex_);
  bool Classify(uint64_t offset, Segment* segment, bool* skip) REQUIRES(mutex_);
  void Work() EXCLUDES(mutex_);
  bool Carry(const Segment& segment, Buffers* buffers) EXCLUDES(mutex_);
  bool CopyInKernel(const Segment& segment) EXCLUDES(mutex_);
  int ReadSources(uint64_t offset, std::span<uint8_t> out);
  int Salvage(Image* source, uint64_t offset, std::span<uint8_t> out);
  void Throttle(uint64_t bytes) EXCLUDES(mutex_);
  bool WaitForTurn(uint64_t ticket) EXCLUDES(mutex_);
  void EndTurn(uint64_t ticket) EXCLUDES(mutex_);
  bool WriteData(uint64_t start, std::span<const uint8_t> data) EXCLUDES(mutex_);
  bool WriteCompressed(const Segment& segment, Buffers* buffers) EXCLUDES(mutex_);
  bool WriteZeroes(uint64_t offset, uint64_t length) EXCLUDES(mutex_);
  bool FailAt(std::string_view what, uint64_t offset, int error) EXCLUDES(mutex_);
  void GiveUp(Error error) REQUIRES(mutex_);

  const std::vector<Image*> sources_;
  Image* const target_;
  FormatImage* target_format_ = nullptr;
  const CopyOptions options_;
  const bool in_order_;
  uint64_t size_ = 0;
  uint64_t cluster_bytes_ = 0;  // When compressing.
  uint64_t backing_end_ = 0;    // Of the target.

  Mutex mutex_;
  uint64_t next_offset_ GUARDED_BY(mutex_) = 0;
  // Bytes of data, for the progress alone.
  uint64_t data_bytes_ GUARDED_BY(mutex_) = 0, data_done_ GUARDED_BY(mutex_) = 0;
  uint64_t next_ticket_ GUARDED_BY(mutex_) = 0;
  uint64_t turn_ GUARDED_BY(mutex_) = 0;
  bool failed_ GUARDED_BY(mutex_) = false;
  Status outcome_ GUARDED_BY(mutex_);
  // A thread that waits for ticket t waits at t % kMaxCopyThreads: no two have the same, for each has one
  // segment.
  std::array<std::condition_variable, kMaxCopyThreads> turns_;
  std::chrono::steady_clock::time_point not_before_ GUARDED_BY(mutex_);  // With a rate limit.
};

}  // namespace berth::block
