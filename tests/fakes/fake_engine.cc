#include "tests/fakes/fake_engine.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/bytes.h"
#include "base/pieces.h"

namespace berth::block {

void FakeEngine::Submit(List<IoOp> batch) {
  int count = 0;
  for (; IoOp* op = batch.PopFront(); ++count) held_.push_back(op);
  batches.push_back(count);
}

void FakeEngine::Wait() {
  if (!held_.empty()) PerformHeld(0);
}

void FakeEngine::PerformHeld(size_t index) {
  IoOp* op = held_.at(index);
  held_.erase(held_.begin() + static_cast<ptrdiff_t>(index));
  int64_t scripted = kPerform;
  if (!results.empty()) {
    scripted = results.front();
    results.pop_front();
  }
  op->result = scripted >= kHalf ? Do(*op, scripted == kHalf) : scripted;
  log.push_back(*op);
  op->done(op);
}

int64_t FakeEngine::Do(const IoOp& op, bool half) const {
  if (op.kind == IoOp::Kind::kSync) return ::fdatasync(op.fd) == 0 ? 0 : -errno;
  if (op.kind == IoOp::Kind::kFallocate) {
    const auto offset = static_cast<off_t>(op.offset), length = static_cast<off_t>(op.length);
    return ::fallocate(op.fd, op.flags, offset, length) == 0 ? 0 : -errno;
  }
  if (op.kind == IoOp::Kind::kDiscard) return -ENOTTY;
  std::vector<iovec> pieces(op.pieces, op.pieces + op.piece_count);
  if (pieces.size() > kMaxPieces || !IsAligned(op.offset, block_size) ||
      !PiecesAligned(pieces, memory_alignment, block_size)) {
    return -EINVAL;
  }
  if (half) {
    uint64_t all = 0;
    for (const iovec& piece : pieces) all += piece.iov_len;
    const std::vector<iovec> whole = std::exchange(pieces, {});
    SlicePieces(whole, 0, AlignDown(all / 2, block_size), &pieces);
  }
  const auto count = static_cast<int>(pieces.size());
  const auto offset = static_cast<off_t>(op.offset);
  const ssize_t done = op.kind == IoOp::Kind::kReadv ? ::preadv(op.fd, pieces.data(), count, offset)
                                                     : ::pwritev(op.fd, pieces.data(), count, offset);
  return done < 0 ? -errno : done;
}

}  // namespace berth::block
