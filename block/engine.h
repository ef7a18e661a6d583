// IoEngine: what the kernel does to descriptors, asynchronously and in batches, for one event loop.
//
// Two kinds: io_uring, and worker threads for kernels and sandboxes that refuse it. One engine serves every
// node of its loop, so that one system call submits for several disks.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>

#include "base/error.h"
#include "base/event_loop.h"
#include "block/list.h"

namespace berth::block {

// One system call's worth. The submitter owns it and keeps it alive until `done`.
struct IoOp {
  enum class Kind : uint8_t {
    kReadv,      // preadv2(2) of `pieces` at `offset`, with `flags` (RWF_*)
    kWritev,     // pwritev2(2)
    kSync,       // fdatasync(2)
    kFallocate,  // fallocate(2), `flags` its mode
    kDiscard,    // ioctl BLKDISCARD
  };
  Kind kind = Kind::kReadv;
  int fd = -1;
  int flags = 0;
  unsigned piece_count = 0;  // At most IOV_MAX.
  const iovec* pieces = nullptr;
  uint64_t offset = 0;
  uint64_t length = 0;  // kFallocate, kDiscard

  int64_t result = 0;                // The system call's: a count, or a negative errno value.
  void (*done)(IoOp* op) = nullptr;  // On the loop's thread, possibly before Submit returns.
  IoOp* next = nullptr;
};

// Carries `op` out on the calling thread, without an engine: the system call's result, or a negative errno
// value. `done` is not called. Any thread.
int64_t PerformBlocking(const IoOp& op);

// Threads: everything on the loop's thread, or while no thread runs the loop.
class IoEngine {
 public:
  // No operation may be in flight.
  virtual ~IoEngine() = default;

  virtual void Submit(List<IoOp> batch) = 0;
  // Blocks until at least one operation has completed and calls what is done; returns at once if none is in
  // flight. Not from within a `done`.
  virtual void Wait() = 0;
  // Starts what kDiscard needs; call it before the process loses the right to start threads.
  virtual Status PrepareDiscard() = 0;
  virtual const char* name() const = 0;
};

// Operations that the kernel works on at once; those beyond wait in the engine.
inline constexpr unsigned kMaxOpsInFlight = 256;
inline constexpr unsigned kWorkerThreads = 8;

// io_uring if it is to be had, else threads. The loop outlives the engine.
Result<std::unique_ptr<IoEngine>> CreateIoEngine(EventLoop* loop);
// UNAVAILABLE or another code where the kernel refuses it or lacks an operation.
Result<std::unique_ptr<IoEngine>> CreateUringEngine(EventLoop* loop);
Result<std::unique_ptr<IoEngine>> CreateThreadEngine(EventLoop* loop, unsigned threads = kWorkerThreads);

}  // namespace berth::block
