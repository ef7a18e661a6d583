#include "block/raw.h"

#include "base/bytes.h"

namespace berth::block {
namespace {

class RawNode final : public BlockNode {
 public:
  RawNode(std::unique_ptr<BlockNode> child, uint64_t offset, uint64_t size, const Limits& limits)
      : child_(std::move(child)), offset_(offset), size_(size), limits_(limits) {}
  ~RawNode() override { child_->Drain(); }

  uint64_t size_bytes() const override { return size_; }
  const Limits& limits() const override { return limits_; }

  void Submit(List<Request> batch) override {
    List<Request> inside;
    while (Request* request = batch.PopFront()) {
      if (const int error = CheckRequest(*request, size_, limits_.read_only); error != 0) {
        Complete(request, error);
        continue;
      }
      request->offset += offset_;
      inside.PushBack(request);
    }
    if (!inside.empty()) child_->Submit(std::move(inside));
  }
  void Drain() override { child_->Drain(); }

 private:
  const std::unique_ptr<BlockNode> child_;
  const uint64_t offset_;
  const uint64_t size_;
  const Limits limits_;
};

}  // namespace

Result<std::unique_ptr<BlockNode>> CreateRawNode(std::unique_ptr<BlockNode> child,
                                                 const RawOptions& options) {
  const uint64_t all = child->size_bytes();
  if (options.offset_bytes > all) {
    return Fail(Code::kOutOfRange, "the window starts at {} and the image ends at {}", options.offset_bytes,
                all);
  }
  const uint64_t size = options.size_bytes.value_or(all - options.offset_bytes);
  if (!Range{0, all}.Contains(options.offset_bytes, size)) {
    return Fail(Code::kOutOfRange, "the window ends at {} and the image at {}", options.offset_bytes + size,
                all);
  }
  Limits limits = child->limits();
  limits.read_only |= options.read_only;
  return std::make_unique<RawNode>(std::move(child), options.offset_bytes, size, limits);
}

}  // namespace berth::block
