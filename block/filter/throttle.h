// Groups of images whose requests together begin no faster than was told (`--object throttle-group,id=…`).
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/mutex.h"
#include "block/node.h"
#include "block/options.h"
#include "block/token_bucket.h"

namespace berth::block {

// Any thread.
class ThrottleGroup {
 public:
  // Options as qemu-img has them: x-iops-total, x-bps-read, …, each with -max and -max-length; x-iops-size.
  // Takes what it knows. INVALID_ARGUMENT.
  static Result<std::unique_ptr<ThrottleGroup>> Create(Options* options);

  // Blocks until the request may begin, in the order of coming. Reads, writes, zeroes and discards are
  // operations; reads and writes have bytes.
  void WaitFor(const Request& request) EXCLUDES(mutex_);

 private:
  // Of all requests, of reads, of those that change something.
  struct Buckets {
    TokenBucket operations, bytes;
  };
  ThrottleGroup() = default;

  uint64_t operation_bytes_ = 0;  // Larger requests count as several; 0: they do not.
  Mutex mutex_;
  std::array<Buckets, 3> buckets_ GUARDED_BY(mutex_);
};

// Process-wide; any thread. ALREADY_EXISTS.
Status DefineThrottleGroup(const std::string& id, std::shared_ptr<ThrottleGroup> group);

}  // namespace berth::block
