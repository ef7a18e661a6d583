// The engine for where there is no io_uring: blocking system calls on a few threads.
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <system_error>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "block/engine.h"

namespace berth::block {

int64_t PerformBlocking(const IoOp& op) {
  const auto offset = static_cast<off_t>(op.offset);
  const auto count = static_cast<int>(op.piece_count);
  int64_t result = -1;
  switch (op.kind) {
    case IoOp::Kind::kReadv:
      result = ::preadv2(op.fd, op.pieces, count, offset, op.flags);
      break;
    case IoOp::Kind::kWritev:
      result = ::pwritev2(op.fd, op.pieces, count, offset, op.flags);
      break;
    case IoOp::Kind::kSync:
      result = ::fdatasync(op.fd);
      break;
    case IoOp::Kind::kFallocate:
      result = ::fallocate(op.fd, op.flags, offset, static_cast<off_t>(op.length));
      break;
    case IoOp::Kind::kDiscard: {
      uint64_t range[2] = {op.offset, op.length};
      result = ::ioctl(op.fd, BLKDISCARD, range);
      break;
    }
  }
  return result < 0 ? -errno : result;
}

namespace {

class ThreadEngine final : public IoEngine {
 public:
  ThreadEngine(EventLoop* loop, UniqueFd completed) : loop_(loop), completed_(std::move(completed)) {}

  ~ThreadEngine() override {
    CHECK(in_flight_ == 0);
    loop_->Unwatch(completed_.get());
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  Status Start(unsigned threads) {
    // Edge-triggered: every write is an edge, so the counter need not be read.
    TRY(loop_->Watch(completed_.get(), EPOLLIN | EPOLLET, [this](uint32_t) { Deliver(); }));
    // Signals are for the threads that expect them.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    try {
      while (threads_.size() < threads) {
        threads_.emplace_back([this] {
          ::pthread_setname_np(::pthread_self(), "block");
          Work();
        });
      }
    } catch (const std::system_error& refused) {
      error = refused.code().value();
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) return FailErrno(error, "start worker threads for block devices");
    return Ok();
  }

  void Submit(List<IoOp> batch) override {
    if (batch.empty()) return;
    unsigned count = 0;
    for (const IoOp* op = batch.front(); op != nullptr; op = op->next) ++count;
    in_flight_ += count;
    {
      MutexLock lock(mutex_);
      todo_.Append(std::move(batch));
    }
    if (count == 1) {
      work_.notify_one();
    } else {
      work_.notify_all();
    }
  }

  void Wait() override {
    if (in_flight_ == 0) return;
    CHECK(!delivering_);
    {
      MutexLock lock(mutex_);
      while (done_.empty()) lock.Wait(finished_);
    }
    Deliver();
  }

  Status PrepareDiscard() override { return Ok(); }
  const char* name() const override { return "threads"; }

 private:
  void Work() {
    for (;;) {
      IoOp* op = nullptr;
      {
        MutexLock lock(mutex_);
        while (todo_.empty() && !stopping_) lock.Wait(work_);
        if (stopping_) return;
        op = todo_.PopFront();
      }
      op->result = PerformBlocking(*op);
      bool first = false;
      {
        MutexLock lock(mutex_);
        first = done_.empty();
        done_.PushBack(op);
      }
      if (first) {
        SignalEventFd(completed_.get());
        finished_.notify_one();
      }
    }
  }

  void Deliver() {
    List<IoOp> done;
    {
      MutexLock lock(mutex_);
      done = std::move(done_);
    }
    delivering_ = true;
    while (IoOp* op = done.PopFront()) {
      --in_flight_;
      op->done(op);
    }
    delivering_ = false;
  }

  EventLoop* const loop_;
  const UniqueFd completed_;
  std::vector<std::thread> threads_;
  unsigned in_flight_ = 0;
  bool delivering_ = false;

  Mutex mutex_;
  std::condition_variable work_, finished_;
  List<IoOp> todo_ GUARDED_BY(mutex_);
  List<IoOp> done_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace

Result<std::unique_ptr<IoEngine>> CreateThreadEngine(EventLoop* loop, unsigned threads) {
  UniqueFd completed = TRY(CreateEventFd());
  auto engine = std::make_unique<ThreadEngine>(loop, std::move(completed));
  TRY(engine->Start(threads));
  return engine;
}

}  // namespace berth::block
