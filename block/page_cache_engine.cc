#include "block/page_cache_engine.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <unordered_map>
#include <utility>

namespace berth::block {
namespace {

class PageCacheEngine final : public IoEngine {
 public:
  explicit PageCacheEngine(std::unique_ptr<IoEngine> beneath) : beneath_(std::move(beneath)) {}

  void Submit(List<IoOp> batch) override {
    List<IoOp> rest, done;
    while (IoOp* op = batch.PopFront()) (TryNow(op) ? done : rest).PushBack(op);
    if (!rest.empty()) beneath_->Submit(std::move(rest));
    done_.Append(std::move(done));
    Deliver();
  }
  void Wait() override {
    if (done_.empty()) return beneath_->Wait();
    Deliver();
  }
  Status PrepareDiscard() override { return beneath_->PrepareDiscard(); }
  const char* name() const override { return beneath_->name(); }

 private:
  enum class Kind : uint8_t { kCached, kMemory, kOther };

  Kind KindOf(int fd) {
    const auto found = known_.find(fd);
    return found != known_.end() ? found->second : known_.emplace(fd, Look(fd)).first->second;
  }
  static Kind Look(int fd) {
    struct stat status {};
    struct statfs system {};
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_DIRECT) != 0 || ::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
      return Kind::kOther;
    }
    if (::fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC) return Kind::kMemory;
    return Kind::kCached;
  }

  bool TryNow(IoOp* op) {
    if (op->kind != IoOp::Kind::kReadv && op->kind != IoOp::Kind::kWritev) return false;
    const Kind kind = KindOf(op->fd);
    if (kind == Kind::kOther || op->flags != 0) return false;  // RWF_DSYNC takes its time.
    if (op->kind == IoOp::Kind::kReadv && kind == Kind::kCached) op->flags = RWF_NOWAIT;
    const int64_t result = PerformBlocking(*op);
    op->flags = 0;
    if (result == -EAGAIN || result == -EOPNOTSUPP) return false;
    op->result = result;
    return true;
  }

  // What completes may submit more, which then only lengthens the list.
  void Deliver() {
    if (std::exchange(delivering_, true)) return;
    while (IoOp* op = done_.PopFront()) op->done(op);
    delivering_ = false;
  }

  const std::unique_ptr<IoEngine> beneath_;
  std::unordered_map<int, Kind> known_;
  List<IoOp> done_;
  bool delivering_ = false;
};

}  // namespace

std::unique_ptr<IoEngine> CreatePageCacheEngine(std::unique_ptr<IoEngine> beneath) {
  return std::make_unique<PageCacheEngine>(std::move(beneath));
}

}  // namespace berth::block
