// Bringing together what a disk stands on while it is used: docs/block.md has the order of the writes.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/error.h"
#include "base/mutex.h"
#include "block/dirty_map.h"
#include "block/image_node.h"
#include "block/token_bucket.h"

namespace berth::block {

enum class JobKind : uint8_t {
  kStream,  // All that the images beneath have becomes the topmost's, which then stands alone.
  kCommit,  // All that the topmost has becomes that of the one right beneath, which is open for writing; the
            // disk then goes on with that.
  kMirror,  // All that the disk shows is copied to another image, with which the disk then goes on.
};

// Opens what a mirror copies to: an image of the disk's size that reads as zeroes and stands alone. Called on
// one of the node's threads.
using OpenTarget = std::function<Result<std::unique_ptr<FormatImage>>()>;

struct JobProgress {
  bool ready = false;     // Complete may be called.
  Status outcome = Ok();  // Why it failed; then it does nothing any more.
  uint64_t done_bytes = 0,
           all_bytes = 0;  // Of the disk; more with each pass over what was changed meanwhile.
};

// On the node's loop, but for what says otherwise. The disk neither grows nor is exchanged meanwhile.
class ImageJob {
 public:
  // A write of this size may be under way when it is told to stop.
  static constexpr uint64_t kStepBytes = 1 << 20;
  // A commit or mirror is ready when no more than this is left to be copied with the node drained.
  static constexpr uint64_t kFinalBytes = 8 << 20;
  // Passes over what was changed during the one before, after which a job gives up.
  static constexpr int kMaxPasses = 64;

  // Begins. The node outlives it. `bytes_per_second` 0: as fast as can be. `target` is a mirror's:
  // INVALID_ARGUMENT if what it opens has another size. FAILED_PRECONDITION, NO_BASE, of the others, if there
  // is nothing beneath. Otherwise what comes of `target`, or of making the image beneath as large as the
  // disk.
  static Result<std::unique_ptr<ImageJob>> Start(ImageNode* node, JobKind kind, uint64_t bytes_per_second,
                                                 const OpenTarget& target = nullptr);
  // Ends it, which leaves the disk as it is.
  ~ImageJob();

  JobKind kind() const { return kind_; }
  // Any thread.
  JobProgress progress() EXCLUDES(mutex_);
  // What is left is done with the node drained, and the disk goes on with what has come of it. A mirror's
  // target shows for good what the disk does when `before_going_on` is called, and is left alone if that
  // fails. FAILED_PRECONDITION, JOB_NOT_READY; otherwise the disk is as it was, and the job has ended.
  Status Complete(const std::function<Status()>& before_going_on = [] { return Ok(); });

 private:
  ImageJob(ImageNode* node, JobKind kind, uint64_t bytes_per_second);
  // On one of the node's threads.
  Status Prepare(FormatImage& image, const OpenTarget& target);
  // On the job's thread. CANCELLED once it is to stop.
  Status Stream(FormatImage& image);
  Status CopyAll(FormatImage& image);
  Status Pass(FormatImage& top);
  Status CopyOver(FormatImage& top, const Range& range);
  Status CopyContent(FormatImage& top, const Range& range);
  // Where a commit or mirror copies to.
  Image* Target(FormatImage& top) const { return kind_ == JobKind::kMirror ? target_.get() : top.backing(); }
  // So many bytes of the disk further; `copied`: they count by the rate.
  Status Advance(uint64_t bytes, bool copied) EXCLUDES(mutex_);
  Status WaitUntilNeeded() EXCLUDES(mutex_);
  void Stop() EXCLUDES(mutex_);

  ImageNode* const node_;
  const JobKind kind_;
  std::unique_ptr<DirtyMap> dirty_;      // Not of a stream.
  std::unique_ptr<FormatImage> target_;  // Of a mirror, until the disk goes on with it.
  bool target_is_fresh_ = false;         // What is yet to be copied for the first time reads as zeroes there.

  Mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ GUARDED_BY(mutex_) = false;
  JobProgress progress_ GUARDED_BY(mutex_);
  TokenBucket rate_ GUARDED_BY(mutex_);
};

}  // namespace berth::block
