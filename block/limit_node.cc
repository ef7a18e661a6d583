#include "block/limit_node.h"

#include <algorithm>
#include <utility>

#include "block/token_bucket.h"

namespace berth::block {
namespace {

class LimitNodeImpl final : public LimitNode {
 public:
  LimitNodeImpl(EventLoop* loop, std::unique_ptr<BlockNode> node, const IoLimits& limits)
      : loop_(loop), node_(std::move(node)) {
    SetLimits(limits);
  }
  ~LimitNodeImpl() override { Drain(); }

  uint64_t size_bytes() const override { return node_->size_bytes(); }
  const Limits& limits() const override { return node_->limits(); }

  void Submit(List<Request> batch) override {
    List<Request> passing;
    if (unlimited_ && waiting_.empty()) {
      passing = std::move(batch);
    } else {
      while (Request* request = batch.PopFront()) {
        (request->op == Op::kFlush ? passing : waiting_).PushBack(request);
      }
      TakeDue(&passing);
    }
    if (!passing.empty()) node_->Submit(std::move(passing));
  }

  void Drain() override {
    // What completes may submit more.
    while (!waiting_.empty()) {
      node_->Submit(std::exchange(waiting_, {}));
      node_->Drain();
    }
    node_->Drain();
    if (timer_ != 0) loop_->Cancel(std::exchange(timer_, 0));
  }

  Status WriteBack() override { return Drain(), node_->WriteBack(); }
  Status Grow(uint64_t size_bytes) override { return Drain(), node_->Grow(size_bytes); }

  void SetLimits(const IoLimits& limits) override {
    const auto now = EventLoop::Clock::now();
    operations_ = TokenBucket(limits.operations, limits.operations_burst, now);
    bytes_ = TokenBucket(limits.bytes, limits.bytes_burst, now);
    unlimited_ = limits.operations == 0 && limits.bytes == 0;
    Continue();
  }

 private:
  // Moves what may begin by now; the loop comes back for the rest.
  void TakeDue(List<Request>* passing) {
    while (!waiting_.empty()) {
      const auto now = EventLoop::Clock::now();
      const auto due = std::max(operations_.NextAt(now), bytes_.NextAt(now));
      if (due > now) {
        if (timer_ == 0) timer_ = loop_->At(due, [this] { timer_ = 0, Continue(); });
        return;
      }
      Request* const request = waiting_.PopFront();
      operations_.Take(1);
      if (request->op == Op::kRead || request->op == Op::kWrite) bytes_.Take(request->length);
      passing->PushBack(request);
    }
  }

  void Continue() {
    List<Request> passing;
    TakeDue(&passing);
    if (!passing.empty()) node_->Submit(std::move(passing));
  }

  EventLoop* const loop_;
  const std::unique_ptr<BlockNode> node_;
  TokenBucket operations_, bytes_;
  bool unlimited_ = true;
  List<Request> waiting_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace

std::unique_ptr<LimitNode> CreateLimitNode(EventLoop* loop, std::unique_ptr<BlockNode> node,
                                           const IoLimits& limits) {
  return std::make_unique<LimitNodeImpl>(loop, std::move(node), limits);
}

}  // namespace berth::block
