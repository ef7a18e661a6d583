#include "block/sync.h"

namespace berth::block {

int Perform(BlockNode* node, Request* request) {
  request->done = [](Request*) {};
  List<Request> batch;
  batch.PushBack(request);
  node->Submit(std::move(batch));
  node->Drain();
  return request->error;
}

int ReadAt(BlockNode* node, uint64_t offset, std::span<uint8_t> out) {
  const iovec piece{out.data(), out.size()};
  Request request{.op = Op::kRead, .offset = offset, .length = out.size(), .pieces = {&piece, 1}};
  return Perform(node, &request);
}

int WriteAt(BlockNode* node, uint64_t offset, std::span<const uint8_t> bytes) {
  const iovec piece{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  Request request{.op = Op::kWrite, .offset = offset, .length = bytes.size(), .pieces = {&piece, 1}};
  return Perform(node, &request);
}

}  // namespace berth::block
