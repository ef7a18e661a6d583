#include "block/file_transfer.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "base/pieces.h"

namespace berth::block {
namespace {

constexpr uint64_t kZeroBytes = 64 * 1024;
constexpr uint64_t kMaxZeroVector = 16;
alignas(4096) uint8_t zeroes[kZeroBytes];  // Never written; pwritev wants it without const.

// EAGAIN and EINTR in a row before it is an error.
constexpr int kMaxRetries = 16;

bool Unsupported(int64_t result) { return result == -EOPNOTSUPP || result == -ENOSYS || result == -ENOTTY; }

}  // namespace

TransferNeeds NeedsOf(const File& file, const Request& request) {
  const bool data = request.op == Op::kRead || request.op == Op::kWrite;
  TransferNeeds needs{.changes = request.op != Op::kRead && request.op != Op::kFlush};
  if (!file.info.direct || !(data || request.op == Op::kWriteZeroes)) return needs;
  const uint64_t block = file.info.limits.block_size_bytes;
  const bool whole_blocks = IsAligned(request.offset | request.length, block);
  needs.bounce = !whole_blocks ||
                 (data && !PiecesAligned(request.pieces, file.info.limits.memory_alignment_bytes, block));
  needs.alone = !whole_blocks && needs.changes;
  return needs;
}

bool Transfer::Begin(File* file, Request* request, const TransferNeeds& needs) {
  file_ = file;
  request_ = request;
  needs_ = needs;
  error_ = retries_ = 0;
  done_bytes_ = 0;
  if (request->op == Op::kFlush) return Call(Step::kSync, Kind::kSync, 0, 0);
  if (request->length == 0) return false;
  if (needs.bounce) {
    if (!bounce_) bounce_.reset(static_cast<uint8_t*>(std::aligned_alloc(4096, kBounceBytes)));
    return bounce_ ? Chunk() : Fail(ENOMEM);
  }
  switch (request->op) {
    case Op::kDiscard:
      return Discard();
    case Op::kWriteZeroes:
      return Zeroes(request->may_unmap ? Step::kPunch : Step::kZeroRange);
    default:
      return Data();
  }
}

bool Transfer::Advance() {
  if (result == -EAGAIN || result == -EINTR) return ++retries_ <= kMaxRetries || Fail(EIO);
  retries_ = 0;
  switch (step_) {
    case Step::kData:
    case Step::kZeroData:
      return AfterData();
    case Step::kChunkRead:
    case Step::kChunkFill:
      return AfterChunkRead();
    case Step::kChunkWrite:
      return AfterChunkWrite();
    case Step::kDiscard:
    case Step::kPunch:
    case Step::kZeroRange:
      return AfterFallocate();
    case Step::kSync:
      return result < 0 && Fail(static_cast<int>(-result));
  }
  return false;
}

bool Transfer::Fail(int error) {
  error_ = error;
  return false;
}

bool Transfer::Call(Step step, Kind call, int call_flags, uint64_t at) {
  step_ = step;
  kind = call;
  fd = file_->fd;
  flags = call_flags;
  offset = at;
  return true;
}

bool Transfer::CallVector(Step step, bool write, uint64_t at, std::span<const iovec> vector) {
  pieces = vector.data();
  piece_count = static_cast<unsigned>(vector.size());
  return Call(step, write ? Kind::kWritev : Kind::kReadv, write && request_->fua ? RWF_DSYNC : 0, at);
}

// Straight between the request's pieces and the file.
bool Transfer::Data() {
  const bool write = request_->op == Op::kWrite;
  if (done_bytes_ == 0 && request_->pieces.size() <= kMaxPieces) {
    return CallVector(Step::kData, write, position(), request_->pieces);
  }
  SlicePieces(request_->pieces, done_bytes_, left(), &vector_);
  return CallVector(Step::kData, write, position(), vector_);
}

bool Transfer::AfterData() {
  if (result < 0) return Fail(static_cast<int>(-result));
  done_bytes_ += std::min(static_cast<uint64_t>(result), left());
  if (left() == 0) return false;
  // A transfer that stops in the middle of a block has met the end of the file.
  const bool at_end = result == 0 || !IsAligned(done_bytes_, file_->info.limits.block_size_bytes);
  if (request_->op != Op::kRead) return at_end ? Fail(EIO) : step_ == Step::kData ? Data() : ZeroData();
  if (!at_end) return Data();
  ZeroPieces(request_->pieces, done_bytes_);
  return false;
}

bool Transfer::ZeroData() {
  vector_.clear();
  for (uint64_t rest = left(); rest != 0 && vector_.size() < kMaxZeroVector;) {
    const uint64_t size = std::min(rest, kZeroBytes);
    vector_.push_back({zeroes, size});
    rest -= size;
  }
  return CallVector(Step::kZeroData, true, position(), vector_);
}

// The next run of whole blocks, through the bounce buffer.
bool Transfer::Chunk() {
  const uint64_t block = file_->info.limits.block_size_bytes;
  const uint64_t end = request_->offset + request_->length;
  chunk_.start = AlignDown(position(), block);
  chunk_.size = std::min(AlignUp(end, block) - chunk_.start, kBounceBytes);
  vector_.assign(1, {bounce_.get(), chunk_.size});
  if (request_->op == Op::kRead) return CallVector(Step::kChunkRead, false, chunk_.start, vector_);
  if (position() != chunk_.start || end < chunk_.end()) {
    return CallVector(Step::kChunkFill, false, chunk_.start, vector_);
  }
  return WriteChunk();
}

bool Transfer::WriteChunk() {
  const std::span<uint8_t> part(bounce_.get() + (position() - chunk_.start),
                                std::min(left(), chunk_.end() - position()));
  if (request_->op == Op::kWrite) {
    CopyFromPieces(request_->pieces, done_bytes_, part);
  } else {
    std::memset(part.data(), 0, part.size());
  }
  return CallVector(Step::kChunkWrite, true, chunk_.start, vector_);
}

bool Transfer::AfterChunkRead() {
  if (result < 0) return Fail(static_cast<int>(-result));
  const auto count = std::min(static_cast<uint64_t>(result), chunk_.size);
  if (step_ == Step::kChunkFill) {
    std::memset(bounce_.get() + count, 0, chunk_.size - count);  // Behind the file's end.
    return WriteChunk();
  }
  const uint64_t head = position() - chunk_.start;
  const uint64_t got = std::min(count > head ? count - head : 0, left());
  CopyToPieces(request_->pieces, done_bytes_, {bounce_.get() + head, got});
  done_bytes_ += got;
  if (left() == 0) return false;
  if (got != 0 && IsAligned(count, file_->info.limits.block_size_bytes)) return Chunk();
  ZeroPieces(request_->pieces, done_bytes_);
  return false;
}

bool Transfer::AfterChunkWrite() {
  if (result < 0) return Fail(static_cast<int>(-result));
  const uint64_t head = position() - chunk_.start;
  const auto count = static_cast<uint64_t>(result);
  if (count <= head) return Fail(EIO);
  done_bytes_ += std::min(count - head, left());
  return left() != 0 && Chunk();
}

bool Transfer::Discard() {
  const uint64_t unit = file_->info.is_block_device ? file_->info.limits.discard_granularity_bytes : 1;
  const uint64_t start = AlignUp(request_->offset, unit);
  const uint64_t end = AlignDown(request_->offset + request_->length, unit);
  if (!file_->can_discard || start >= end) return false;
  length = end - start;
  if (file_->info.is_block_device) return Call(Step::kDiscard, Kind::kDiscard, 0, start);
  return Call(Step::kDiscard, Kind::kFallocate, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start);
}

// The first way to zero that is open, from `first` on. On a block device, punching a hole zeroes and may
// unmap.
bool Transfer::Zeroes(Step first) {
  const uint64_t unit = file_->info.is_block_device ? file_->info.limits.discard_granularity_bytes : 1;
  length = request_->length;
  if (!IsAligned(request_->offset | request_->length, unit)) return ZeroData();
  if (first == Step::kPunch && file_->can_punch_hole) {
    return Call(Step::kPunch, Kind::kFallocate, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, request_->offset);
  }
  if (first != Step::kZeroData && file_->can_zero_range) {
    return Call(Step::kZeroRange, Kind::kFallocate, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                request_->offset);
  }
  return ZeroData();
}

bool Transfer::AfterFallocate() {
  if (result >= 0) return request_->fua && Call(Step::kSync, Kind::kSync, 0, 0);
  if (!Unsupported(result) && result != -EINVAL) return Fail(static_cast<int>(-result));
  // EINVAL is about this range, the others about the file.
  if (step_ == Step::kDiscard) {
    file_->can_discard = result == -EINVAL;
    return false;
  }
  (step_ == Step::kPunch ? file_->can_punch_hole : file_->can_zero_range) = result == -EINVAL;
  return Zeroes(step_ == Step::kPunch ? Step::kZeroRange : Step::kZeroData);
}

}  // namespace berth::block
