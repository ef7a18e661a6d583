#include "block/node.h"

#include <cerrno>

#include "base/bytes.h"

namespace berth::block {

int CheckRequest(const Request& request, uint64_t size_bytes, bool read_only) {
  if (request.op == Op::kFlush) return 0;
  if (read_only && request.op != Op::kRead) return EROFS;
  return Range{0, size_bytes}.Contains(request.offset, request.length) ? 0 : EINVAL;
}

Status BlockNode::Grow(uint64_t size_bytes) {
  if (size_bytes <= this->size_bytes()) return Ok();
  return Fail(Code::kUnimplemented, "a disk of this kind cannot grow");
}

}  // namespace berth::block
