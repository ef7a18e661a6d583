// Fault injection: an image over another one, whose requests fail or stop by rules.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "block/image.h"

namespace berth::block {

// A request brings an event by its kind: read_aio, write_aio and pwritev, pwritev_zero, flush_to_os and
// flush_to_disk. "none" happens when the image is opened.
struct DebugRule {
  std::string event = "none";
  int state = 0;  // In which it holds; 0: in all.
  // set-state: that which comes next. 0: it is an error to inject.
  int new_state = 0;
  int error = 5;        // EIO
  int64_t sector = -1;  // That the request must touch; -1: any.
  bool once = false;
  std::vector<Op> kinds{};  // Requests that fail; empty: of every kind.
};

class DebugImage final : public Image {
 public:
  DebugImage(std::unique_ptr<Image> image, std::vector<DebugRule> rules);

  uint64_t size_bytes() const override { return image_->size_bytes(); }
  const Limits& limits() const override { return image_->limits(); }
  int Perform(const Request& request) override;
  Result<Extent> Map(uint64_t offset, uint64_t length) override { return image_->Map(offset, length); }
  Status Resize(uint64_t size_bytes, Preallocation preallocation) override {
    return image_->Resize(size_bytes, preallocation);
  }

  // The next request that brings `event` stops until Resume(tag). EINVAL, ENOENT, or 0.
  int Break(const std::string& event, const std::string& tag);
  int Resume(const std::string& tag);
  int RemoveBreak(const std::string& tag);
  // Until a request is stopped under this tag.
  void WaitBreak(const std::string& tag);
  // Is told of requests that stop and go on.
  void SetListener(std::function<void(std::string_view)> listener);

 private:
  struct Point {
    std::string event, tag;
  };
  void Happen(std::string_view event) REQUIRES(mutex_);
  void Stop(MutexLock* lock, std::string_view event) REQUIRES(mutex_);
  int Injected(const Request& request) REQUIRES(mutex_);

  const std::unique_ptr<Image> image_;
  Mutex mutex_;
  std::condition_variable changed_;
  int state_ GUARDED_BY(mutex_) = 1;
  std::vector<DebugRule> rules_ GUARDED_BY(mutex_);
  std::vector<size_t> active_ GUARDED_BY(mutex_);  // Of rules_: errors that are injected now.
  std::vector<Point> points_ GUARDED_BY(mutex_);
  std::vector<std::string> stopped_ GUARDED_BY(mutex_);  // Tags.
  std::function<void(std::string_view)> listener_ GUARDED_BY(mutex_);
};

// [inject-error] and [set-state] sections of `name = "value"` lines.
Result<std::vector<DebugRule>> ParseDebugRules(std::string_view text);

}  // namespace berth::block
