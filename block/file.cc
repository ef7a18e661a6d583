#include "block/file.h"

#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "block/file_transfer.h"
#include "block/trace.h"

namespace berth::block {
namespace {

// Bounce buffers in use at once; requests that need one more wait.
constexpr int kMaxBounces = 16;
// Finished transfers kept for reuse.
constexpr size_t kMaxIdleTransfers = kMaxOpsInFlight;
constexpr size_t kMaxIdleBounces = 4;

class FileNode final : public BlockNode {
 public:
  FileNode(IoEngine* engine, UniqueFd fd, const FileInfo& info) : engine_(engine), fd_(std::move(fd)) {
    file_.fd = fd_.get();
    file_.info = info;
  }
  ~FileNode() override { Drain(); }

  uint64_t size_bytes() const override { return file_.info.size_bytes; }
  const Limits& limits() const override { return file_.info.limits; }

  void Submit(List<Request> batch) override {
    List<IoOp> ops;
    while (Request* request = batch.PopFront()) {
      trace::file_request(this, static_cast<int>(request->op), request->offset, request->length);
      if (const int error = CheckRequest(*request, size_bytes(), limits().read_only); error != 0) {
        Complete(request, error);
        continue;
      }
      const TransferNeeds needs = NeedsOf(file_, *request);
      // Plain reads and flushes go ahead of what waits.
      if ((needs.changes || needs.bounce) && (!waiting_.empty() || !MayStart(needs))) {
        waiting_.PushBack(request);
      } else {
        Start(request, needs, &ops);
      }
    }
    if (!ops.empty()) engine_->Submit(std::move(ops));
  }

  void Drain() override {
    while (active_ != 0 || !waiting_.empty()) engine_->Wait();
  }

  Status Grow(uint64_t size_bytes) override {
    Drain();
    if (size_bytes <= file_.info.size_bytes) return Ok();
    if (limits().read_only) return Fail(Code::kFailedPrecondition, "the disk is read-only");
    if (!file_.info.is_block_device && ::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0) {
      return FailErrno(errno, "make an image {} bytes large", size_bytes);
    }
    // A device grows by others' doing.
    const off_t end = ::lseek(fd_.get(), 0, SEEK_END);
    if (end < 0) return FailErrno(errno, "ask for an image's size");
    file_.info.size_bytes = static_cast<uint64_t>(end);
    if (size_bytes <= file_.info.size_bytes) return Ok();
    return Fail(Code::kFailedPrecondition, "the device has {} bytes, fewer than {}", end, size_bytes);
  }

 private:
  bool MayStart(const TransferNeeds& needs) const {
    if (needs.bounce && bounces_ == kMaxBounces) return false;
    return !needs.changes || (!alone_ && !(needs.alone && changes_ != 0));
  }

  void Start(Request* request, const TransferNeeds& needs, List<IoOp>* ops) {
    ++active_;
    changes_ += needs.changes;
    bounces_ += needs.bounce;
    alone_ |= needs.alone;
    std::unique_ptr<Transfer> transfer;
    std::vector<std::unique_ptr<Transfer>>& idle = needs.bounce ? idle_with_bounce_ : idle_;
    if (!idle.empty()) {
      transfer = std::move(idle.back());
      idle.pop_back();
    } else {
      transfer = std::make_unique<Transfer>();
      transfer->owner = this;
      transfer->done = [](IoOp* op) {
        auto* finished = static_cast<Transfer*>(op);
        static_cast<FileNode*>(finished->owner)->Advance(finished);
      };
    }
    Transfer* started = transfer.release();  // Owned by the engine until Finish takes it back.
    if (started->Begin(&file_, request, needs)) {
      ops->PushBack(started);
    } else {
      Finish(started, ops);
    }
  }

  void Advance(Transfer* transfer) {
    List<IoOp> ops;
    if (transfer->Advance()) {
      ops.PushBack(transfer);
    } else {
      Finish(transfer, &ops);
    }
    if (!ops.empty()) engine_->Submit(std::move(ops));
  }

  void Finish(Transfer* finished, List<IoOp>* ops) {
    std::unique_ptr<Transfer> transfer(finished);
    const TransferNeeds needs = transfer->needs();
    Request* const request = transfer->request();
    const int error = transfer->error();
    std::vector<std::unique_ptr<Transfer>>& idle = needs.bounce ? idle_with_bounce_ : idle_;
    if (idle.size() < (needs.bounce ? kMaxIdleBounces : kMaxIdleTransfers))
      idle.push_back(std::move(transfer));
    --active_;
    changes_ -= needs.changes;
    bounces_ -= needs.bounce;
    if (needs.alone) alone_ = false;
    StartWaiting(ops);
    trace::file_done(this, error);
    Complete(request, error);
  }

  // Some need no system call and finish at once: the outermost call goes on, so that this does not recurse.
  void StartWaiting(List<IoOp>* ops) {
    if (std::exchange(starting_, true)) return;
    while (!waiting_.empty()) {
      const TransferNeeds next = NeedsOf(file_, *waiting_.front());
      if (!MayStart(next)) break;
      Start(waiting_.PopFront(), next, ops);
    }
    starting_ = false;
  }

  IoEngine* const engine_;
  const UniqueFd fd_;
  File file_;
  List<Request> waiting_;  // For their turn to write, or for a bounce buffer.
  int active_ = 0;
  int changes_ = 0;
  int bounces_ = 0;
  bool alone_ = false;
  bool starting_ = false;
  std::vector<std::unique_ptr<Transfer>> idle_;
  std::vector<std::unique_ptr<Transfer>> idle_with_bounce_;
};

}  // namespace

Result<std::unique_ptr<BlockNode>> CreateFileNode(IoEngine* engine, UniqueFd fd, const FileOptions& options) {
  FileInfo info = TRY(DescribeFile(fd.get()));
  info.limits.read_only |= options.read_only;
  if (info.is_block_device && !info.limits.read_only) TRY(engine->PrepareDiscard());
  return CreateFileNode(engine, std::move(fd), info);
}

std::unique_ptr<BlockNode> CreateFileNode(IoEngine* engine, UniqueFd fd, const FileInfo& info) {
  return std::make_unique<FileNode>(engine, std::move(fd), info);
}

}  // namespace berth::block
