// Bringing together what a disk stands on while it is used: docs/block.md has the order of the writes.
#pragma once

#include <condition_variable>
#include <cstdint>
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
};

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
  // A commit is ready when no more than this is left to be copied with the node drained.
  static constexpr uint64_t kFinalBytes = 8 << 20;
  // Passes over what was changed during the one before, after which a commit gives up.
  static constexpr int kMaxPasses = 64;

  // Begins. The node outlives it. `bytes_per_second` 0: as fast as can be. FAILED_PRECONDITION, NO_BASE, if
  // there is nothing beneath; otherwise what comes of making the image beneath as large as the disk.
  static Result<std::unique_ptr<ImageJob>> Start(ImageNode* node, JobKind kind, uint64_t bytes_per_second);
  // Ends it, which leaves the disk as it is.
  ~ImageJob();

  JobKind kind() const { return kind_; }
  // Any thread.
  JobProgress progress() EXCLUDES(mutex_);
  // What is left is done with the node drained, and the disk goes on with what has come of it.
  // FAILED_PRECONDITION, JOB_NOT_READY; otherwise the disk is as it was, and the job has ended.
  Status Complete();

 private:
  ImageJob(ImageNode* node, JobKind kind, uint64_t bytes_per_second);
  // On the job's thread. CANCELLED once it is to stop.
  Status Stream(FormatImage& image);
  Status Commit(FormatImage& image);
  Status Pass(FormatImage& top);
  Status CopyDown(FormatImage& top, const Range& range);
  // So many bytes of the disk further; `copied`: they count by the rate.
  Status Advance(uint64_t bytes, bool copied) EXCLUDES(mutex_);
  Status WaitUntilNeeded() EXCLUDES(mutex_);
  void Stop() EXCLUDES(mutex_);

  ImageNode* const node_;
  const JobKind kind_;
  std::unique_ptr<DirtyMap> dirty_;  // Of a commit.

  Mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ GUARDED_BY(mutex_) = false;
  JobProgress progress_ GUARDED_BY(mutex_);
  TokenBucket rate_ GUARDED_BY(mutex_);
};

}  // namespace berth::block
