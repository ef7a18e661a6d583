#include "block/image_job.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "block/chain.h"
#include "block/content.h"

namespace berth::block {
namespace {

// How often a job that is ready looks whether there is more to do again.
constexpr std::chrono::milliseconds kLookTime{100};
// As much of the disk as is taken on at once; most of it may be in no image.
constexpr uint64_t kTakeBytes = uint64_t{256} << 20;

tl::unexpected<Error> Stopped() { return Fail(Error(Code::kCancelled, "cancelled").Reason("CANCELLED")); }

}  // namespace

ImageJob::ImageJob(ImageNode* node, JobKind kind, uint64_t bytes_per_second)
    : node_(node), kind_(kind), rate_(bytes_per_second, 0, TokenBucket::Time::clock::now()) {
  progress_.all_bytes = node_->size_bytes();
}

Result<std::unique_ptr<ImageJob>> ImageJob::Start(ImageNode* node, JobKind kind, uint64_t bytes_per_second,
                                                  const OpenTarget& target) {
  std::unique_ptr<ImageJob> job(new ImageJob(node, kind, bytes_per_second));
  TRY(node->Exchange([&](FormatImage& image) -> Result<std::unique_ptr<FormatImage>> {
    TRY(job->Prepare(image, target));
    return nullptr;
  }));
  if (kind != JobKind::kStream) {
    job->dirty_ = std::make_unique<DirtyMap>(node->size_bytes());
    job->dirty_->Mark(0, node->size_bytes());
    node->RecordChanges(job->dirty_.get());
  }
  node->BeginJob([raw = job.get()](FormatImage& image) {
    Status outcome = raw->kind_ == JobKind::kStream ? raw->Stream(image) : raw->CopyAll(image);
    MutexLock lock(raw->mutex_);
    if (!outcome) raw->progress_.ready = false;
    raw->progress_.outcome = std::move(outcome);
  });
  return job;
}

Status ImageJob::Prepare(FormatImage& image, const OpenTarget& target) {
  if (kind_ == JobKind::kMirror) {
    auto opened = TRY(target());
    if (opened->size_bytes() != image.size_bytes()) {
      return Fail(Code::kInvalidArgument, "the disk has {} bytes, and what it is to be copied to {}",
                  image.size_bytes(), opened->size_bytes());
    }
    target_ = std::move(opened);
    target_is_fresh_ = true;
    return Ok();
  }
  FormatImage* const base = image.backing_format();
  if (base == nullptr)
    return Fail(Error(Code::kFailedPrecondition, "there is no image beneath it").Reason("NO_BASE"));
  // The disk keeps its size. Said before anything is done: once the upper image is empty there is no way
  // back.
  if (kind_ == JobKind::kCommit && base->size_bytes() > image.size_bytes()) {
    return Fail(
        Error(
            Code::kFailedPrecondition,
            fmt::format("the image beneath has {} bytes, and the disk only {}: make the disk as large first",
                        base->size_bytes(), image.size_bytes()))
            .Reason("BASE_LARGER"));
  }
  if (kind_ == JobKind::kCommit && base->size_bytes() < image.size_bytes())
    return base->Resize(image.size_bytes(), Preallocation::kOff);
  return Ok();
}

ImageJob::~ImageJob() {
  Stop();
  node_->RecordChanges(nullptr);
  if (!target_) return;
  // Closing an image writes: on a thread that may.
  node_->BeginJob([this](FormatImage&) { target_.reset(); });
  node_->AwaitJob();
}

void ImageJob::Stop() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  node_->AwaitJob();
}

JobProgress ImageJob::progress() {
  MutexLock lock(mutex_);
  return progress_;
}

// Waits as the rate demands before more is done.
Status ImageJob::Advance(uint64_t bytes, bool copied) {
  MutexLock lock(mutex_);
  progress_.done_bytes += bytes;
  if (copied) rate_.Take(bytes);
  while (!stop_) {
    const auto now = TokenBucket::Time::clock::now();
    const auto next = rate_.NextAt(now);
    if (next <= now) return Ok();
    (void)lock.WaitUntil(stopped_, next);
  }
  return Stopped();
}

Status ImageJob::Stream(FormatImage& image) {
  const uint64_t end = image.size_bytes();
  for (uint64_t at = 0; at < end;) {
    const ChainExtent status = TRY(StatusAbove(&image, nullptr, at, std::min(end - at, kTakeBytes)));
    const bool has_it = status.depth == 0 || status.zero;
    const uint64_t step = has_it ? status.length : std::min(status.length, kStepBytes);
    if (!has_it) TRY(ToStatus(image.Populate(at, step), "copy what is beneath a disk's image"));
    TRY(Advance(step, !has_it));
    at += step;
  }
  TRY(ToStatus(Flush(&image), "write what was copied"));
  MutexLock lock(mutex_);
  progress_.ready = true;
  return Ok();
}

// What the topmost image has of the range; of a mirror, what it shows.
Status ImageJob::CopyOver(FormatImage& top, const Range& range) {
  const bool all = kind_ == JobKind::kMirror;
  for (uint64_t at = range.start; at < range.end();) {
    const uint64_t left = range.end() - at;
    const ChainExtent status = TRY(all ? StatusAbove(&top, nullptr, at, left) : StatusOf(&top, at, left));
    const bool has_it = all || status.allocated;
    const bool copied = has_it && !status.zero;
    const uint64_t step = copied ? std::min(status.length, kStepBytes) : status.length;
    if (copied) {
      TRY(CopyContent(top, {at, step}));
    } else if (has_it && !target_is_fresh_) {
      TRY(ToStatus(WriteZeroes(Target(top), at, step, /*may_unmap=*/true),
                   "write zeroes to the other image"));
    }
    TRY(Advance(step, copied));
    at += step;
  }
  return Ok();
}

Status ImageJob::CopyContent(FormatImage& top, const Range& range) {
  std::vector<uint8_t> buffer(range.size);
  TRY(ToStatus(Read(&top, range.start, buffer), "read a disk's image"));
  if (target_is_fresh_ && AllZero(buffer)) return Ok();
  return ToStatus(Write(Target(top), range.start, buffer), "write to the other image");
}

// What was marked when it came by.
Status ImageJob::Pass(FormatImage& top) {
  for (uint64_t from = 0;;) {
    const auto range = dirty_->Take(from, kTakeBytes);
    if (!range) return Ok();
    TRY(CopyOver(top, *range));
    from = range->end();
  }
}

Status ImageJob::CopyAll(FormatImage& top) {
  for (int passes = 0;;) {
    TRY(Pass(top));
    target_is_fresh_ = false;
    // So that the last flush, for which the guest waits, has little to do.
    TRY(ToStatus(Flush(Target(top)), "write the other image"));
    const uint64_t left = dirty_->marked_bytes();
    if (left <= kFinalBytes) {
      passes = 0;
      TRY(WaitUntilNeeded());
    } else if (++passes > kMaxPasses) {
      return Fail(
          Error(Code::kAborted, fmt::format("the disk is written to faster than it can be copied: {} are "
                                            "left after {} passes. I/O limits of the disk would help",
                                            HumanSize(left), passes))
              .Reason("NOT_CONVERGING"));
    }
    MutexLock lock(mutex_);
    progress_.all_bytes = progress_.done_bytes + dirty_->marked_bytes();
  }
}

// Ready, until there is too much left again.
Status ImageJob::WaitUntilNeeded() {
  MutexLock lock(mutex_);
  progress_.ready = true;
  while (!stop_ && dirty_->marked_bytes() <= kFinalBytes)
    (void)lock.WaitUntil(stopped_, std::chrono::steady_clock::now() + kLookTime);
  if (stop_) return Stopped();
  progress_.ready = false;
  return Ok();
}

Status ImageJob::Complete(const std::function<Status()>& before_going_on) {
  if (!progress().ready) {
    return Fail(Error(Code::kFailedPrecondition, "there is more to be copied first").Reason("JOB_NOT_READY"));
  }
  Stop();
  Status completed = node_->Exchange([&](FormatImage& image) -> Result<std::unique_ptr<FormatImage>> {
    if (kind_ == JobKind::kStream) {
      TRY(image.ChangeBacking(std::nullopt));
      image.SetBacking(nullptr);
      return nullptr;
    }
    {
      MutexLock lock(mutex_);
      stop_ = false;
      rate_ = {};
    }
    TRY(Pass(image));
    TRY(ToStatus(Flush(Target(image)), "write the other image"));
    if (kind_ == JobKind::kMirror) {
      TRY(node_->Reach(target_.get()));
      TRY(before_going_on());
      return std::move(target_);
    }
    // Without content of its own, it shows for good what the one beneath has: the disk may be either.
    TRY(image.MakeEmpty());
    return std::unique_ptr<FormatImage>(dynamic_cast<FormatImage*>(image.TakeBacking().release()));
  });
  node_->RecordChanges(nullptr);
  return completed;
}

}  // namespace berth::block
