#include "tests/fakes/fake_block_node.h"

#include <algorithm>

#include "base/pieces.h"

namespace berth::block {

void FakeBlockNode::Submit(List<Request> batch) {
  int count = 0;
  for (; Request* request = batch.PopFront(); ++count) {
    log.push_back({request->op, request->fua, request->may_unmap, request->offset, request->length});
    held.push_back(request);
  }
  batches.push_back(count);
  if (!hold) Drain();
}

void FakeBlockNode::Drain() {
  while (!held.empty()) Release(0);
}

Status FakeBlockNode::Grow(uint64_t size_bytes) {
  content.resize(std::max<uint64_t>(content.size(), size_bytes));
  return Ok();
}

void FakeBlockNode::Release(size_t index) {
  Request* request = held.at(index);
  held.erase(held.begin() + static_cast<ptrdiff_t>(index));
  int error = CheckRequest(*request, content.size(), node_limits.read_only);
  if (error == 0 && !errors.empty()) {
    error = errors.front();
    errors.pop_front();
  }
  if (error == 0) Carry(*request);
  Complete(request, error);
}

void FakeBlockNode::Carry(const Request& request) {
  if (request.op == Op::kFlush) return;
  const std::span<uint8_t> range(content.data() + request.offset, request.length);
  if (request.op == Op::kRead) {
    CopyToPieces(request.pieces, 0, range);
  } else if (request.op == Op::kWrite) {
    CopyFromPieces(request.pieces, 0, range);
  } else {
    std::fill(range.begin(), range.end(), 0);
  }
}

}  // namespace berth::block
