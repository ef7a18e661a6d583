// The engine over io_uring: one ring a loop, one io_uring_enter a batch. The loop watches the ring itself:
// what was completed while it was being submitted, and has been taken since, wakes nobody.
#include <liburing.h>

#include <array>
#include <cerrno>

#include "base/log.h"
#include "base/unique_fd.h"
#include "block/engine.h"

namespace berth::block {
namespace {

// All that is ever submitted: the ring is restricted to these.
constexpr uint8_t kOperations[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE};
// Rounds of submitting and completing before the loop's other work gets its turn.
constexpr int kMaxRounds = 16;
// Kernel threads for what cannot be waited for otherwise (fdatasync, fallocate).
constexpr unsigned kMaxKernelWorkers = 16;

struct Ring {
  ~Ring() {
    if (created) ::io_uring_queue_exit(&ring);
  }
  io_uring ring{};
  bool created = false;
};

class UringEngine final : public IoEngine {
 public:
  UringEngine(EventLoop* loop, UniqueFd again) : loop_(loop), again_(std::move(again)) {}

  ~UringEngine() override {
    CHECK(in_flight_ == 0 && waiting_.empty());
    if (ring_.created) loop_->Unwatch(ring()->ring_fd);
    loop_->Unwatch(again_.get());
  }

  Status Start();

  void Submit(List<IoOp> batch) override {
    waiting_.Append(std::move(batch));
    if (!pumping_) Pump();
  }

  void Wait() override {
    CHECK(!pumping_);
    Fill();
    if (in_flight_ != 0) {
      ::io_uring_submit_and_wait(ring(), 1);
    } else if (discard_) {
      discard_->Wait();
    }
    Pump();
  }

  Status PrepareDiscard() override {
    if (!discard_) discard_ = TRY(CreateThreadEngine(loop_, 1));
    return Ok();
  }
  const char* name() const override { return "io_uring"; }

 private:
  io_uring* ring() { return &ring_.ring; }
  Status Restrict();
  void Pump();
  unsigned Fill();
  unsigned Deliver();

  EventLoop* const loop_;
  const UniqueFd again_;  // Signalled for what is left for later.
  Ring ring_;
  std::unique_ptr<IoEngine> discard_;
  List<IoOp> waiting_;
  unsigned in_flight_ = 0;
  bool pumping_ = false;
};

Status UringEngine::Start() {
  // The kernel runs completions when this thread enters it anyway, instead of interrupting it. From 5.19.
  int error =
      ::io_uring_queue_init(kMaxOpsInFlight, ring(),
                            IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED);
  if (error == -EINVAL) error = ::io_uring_queue_init(kMaxOpsInFlight, ring(), IORING_SETUP_R_DISABLED);
  if (error < 0) return FailErrno(-error, "create an io_uring");
  ring_.created = true;

  std::unique_ptr<io_uring_probe, decltype(&::io_uring_free_probe)> probe(::io_uring_get_probe_ring(ring()),
                                                                          &::io_uring_free_probe);
  for (const uint8_t opcode : kOperations) {
    if (!probe || !::io_uring_opcode_supported(probe.get(), opcode)) {
      return Fail(Code::kUnimplemented, "this kernel's io_uring lacks operation {}", opcode);
    }
  }
  unsigned workers[2] = {0,
                         kMaxKernelWorkers};  // 0: as it is. From 5.15; without it RLIMIT_NPROC bounds them.
  ::io_uring_register_iowq_max_workers(ring(), workers);
  TRY(Restrict());
  TRY(loop_->Watch(ring()->ring_fd, EPOLLIN, [this](uint32_t) { Pump(); }));
  return loop_->Watch(again_.get(), EPOLLIN | EPOLLET, [this](uint32_t) { Pump(); });
}

// From here on the ring takes these operations and no more registrations: a filter of system calls does not
// see what is in a ring.
Status UringEngine::Restrict() {
  std::vector<io_uring_restriction> restrictions;
  for (const uint8_t opcode : kOperations) {
    io_uring_restriction& one = restrictions.emplace_back();
    one.opcode = IORING_RESTRICTION_SQE_OP;
    one.sqe_op = opcode;
  }
  int error = ::io_uring_register_restrictions(ring(), restrictions.data(),
                                               static_cast<unsigned>(restrictions.size()));
  if (error == 0) error = ::io_uring_enable_rings(ring());
  if (error < 0) return FailErrno(-error, "restrict an io_uring");
  return Ok();
}

// Submits and completes until there is nothing to do at once. Completions call back and may submit more: that
// only lengthens `waiting_`, so nothing recurses and each round enters the kernel once.
void UringEngine::Pump() {
  pumping_ = true;
  int rounds = 0;
  for (unsigned progress = 1; progress != 0 && rounds < kMaxRounds; ++rounds) {
    progress = Fill();
    if (::io_uring_sq_ready(ring()) != 0) {
      const int submitted = ::io_uring_submit(ring());
      if (submitted < 0) LOG_WARNING_LIMITED("io_uring: {}", SystemError(-submitted, "submit").message());
    }
    progress += Deliver();
  }
  if (rounds == kMaxRounds || ::io_uring_sq_ready(ring()) != 0) SignalEventFd(again_.get());
  pumping_ = false;
}

// Moves waiting operations into the submission queue while the kernel has room for their completions.
unsigned UringEngine::Fill() {
  unsigned moved = 0;
  List<IoOp> discards;
  while (!waiting_.empty() && in_flight_ < kMaxOpsInFlight) {
    if (waiting_.front()->kind == IoOp::Kind::kDiscard) {
      discards.PushBack(waiting_.PopFront());
      continue;
    }
    io_uring_sqe* sqe = ::io_uring_get_sqe(ring());
    if (sqe == nullptr) break;
    IoOp* op = waiting_.PopFront();
    switch (op->kind) {
      case IoOp::Kind::kReadv:
        ::io_uring_prep_readv2(sqe, op->fd, op->pieces, op->piece_count, op->offset, op->flags);
        break;
      case IoOp::Kind::kWritev:
        ::io_uring_prep_writev2(sqe, op->fd, op->pieces, op->piece_count, op->offset, op->flags);
        break;
      case IoOp::Kind::kSync:
        ::io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
        break;
      case IoOp::Kind::kFallocate:
      case IoOp::Kind::kDiscard:
        ::io_uring_prep_fallocate(sqe, op->fd, op->flags, static_cast<off_t>(op->offset),
                                  static_cast<off_t>(op->length));
        break;
    }
    ::io_uring_sqe_set_data(sqe, op);
    ++in_flight_;
    ++moved;
  }
  if (!discards.empty()) {
    CHECK(discard_ != nullptr);
    discard_->Submit(std::move(discards));
  }
  return moved;
}

unsigned UringEngine::Deliver() {
  unsigned delivered = 0;
  std::array<io_uring_cqe*, 64> batch;
  while (const unsigned count = ::io_uring_peek_batch_cqe(ring(), batch.data(), batch.size())) {
    std::array<IoOp*, 64> ops;
    for (unsigned i = 0; i < count; ++i) {
      ops[i] = static_cast<IoOp*>(::io_uring_cqe_get_data(batch[i]));
      ops[i]->result = batch[i]->res;
    }
    ::io_uring_cq_advance(ring(), count);
    in_flight_ -= count;
    for (unsigned i = 0; i < count; ++i) ops[i]->done(ops[i]);
    delivered += count;
    if (delivered >= kMaxOpsInFlight) break;
  }
  return delivered;
}

}  // namespace

Result<std::unique_ptr<IoEngine>> CreateUringEngine(EventLoop* loop) {
  auto engine = std::make_unique<UringEngine>(loop, TRY(CreateEventFd()));
  TRY(engine->Start());
  return engine;
}

}  // namespace berth::block
