#include "block/mapped_store.h"

#include <algorithm>
#include <cerrno>

#include "base/pieces.h"

namespace berth::block {
namespace {

using Kind = BlockPlace::Kind;

// Blocks that one lookup goes through at most.
constexpr uint64_t kMaxRunBlocks = 65536;
constexpr uint64_t kZeroBytes = 1 << 20;
// Neighbouring tables are written together up to here.
constexpr size_t kMaxTableWrite = 1 << 20;

bool HasPlace(Kind kind) { return kind == Kind::kData || kind == Kind::kPacked; }

uint64_t LengthOf(std::span<const iovec> pieces) {
  uint64_t length = 0;
  for (const iovec& piece : pieces) length += piece.iov_len;
  return length;
}

// Calls `one(offset, length, pieces)`, which says how much it has done, until all of the range is.
template <typename One>
int ForParts(uint64_t offset, uint64_t length, std::span<const iovec> pieces, One one) {
  std::vector<iovec> part;
  for (uint64_t done = 0; done < length;) {
    std::span<const iovec> now = pieces;
    uint64_t step = length;
    const auto slice = [&](uint64_t limit) {
      SlicePieces(pieces, done, limit, &part);
      now = part;
      step = LengthOf(part);
    };
    if (done != 0) slice(length - done);
    if (const int error = one(offset + done, &step, &now, slice); error != 0) return error;
    done += step;
  }
  return 0;
}

}  // namespace

MappedStore::MappedStore(Image* file, const FormatImage* owner, uint64_t owner_offset, const Shape& shape)
    : tables_(file, shape.slice_bytes, kMaxSlices),
      file_(file),
      owner_(owner),
      owner_offset_(owner_offset),
      shape_(shape),
      end_(file->size_bytes()),
      fresh_from_(file->size_bytes()) {}

int MappedStore::Perform(const Request& request) {
  switch (request.op) {
    case Op::kRead:
      return ReadRange(request.offset, request.length, request.pieces);
    case Op::kFlush:
      return shape_.writable ? Flush() : 0;
    case Op::kDiscard:
      return 0;
    case Op::kWrite:
      if (const int error = WriteRange(request.offset, request.length, request.pieces); error != 0)
        return error;
      break;
    case Op::kWriteZeroes:
      if (const int error = ZeroRange(request); error != 0) return error;
      break;
  }
  return request.fua || TooDirty() ? Flush() : 0;
}

int MappedStore::LoadEntry(uint64_t place, uint8_t** entry) {
  if (place > INT64_MAX) return EIO;
  uint8_t* slice = nullptr;
  if (const int error = tables_.Load(AlignDown(place, shape_.slice_bytes), &slice); error != 0) return error;
  *entry = slice + place % shape_.slice_bytes;
  return 0;
}

bool MappedStore::TooDirty() {
  MutexLock lock(mutex_);
  return tables_.dirty_slices() > kMaxDirtySlices;
}

int MappedStore::PlaceOf(uint64_t block, BlockPlace* place) {
  MutexLock lock(mutex_);
  return Lookup(block, place);
}

int MappedStore::FindRun(uint64_t offset, uint64_t length, Run* run) {
  const uint64_t unit = shape_.block_bytes, first = offset / unit, in_block = offset % unit;
  if (const int error = Lookup(first, &run->place); error != 0) return error;
  if (HasPlace(run->place.kind)) run->place.run = 1;
  uint64_t blocks = std::max<uint64_t>(run->place.run, 1);
  const uint64_t wanted = std::min((in_block + length + unit - 1) / unit, kMaxRunBlocks);
  while (run->place.kind != Kind::kPacked && blocks < wanted) {
    BlockPlace next;
    if (Lookup(first + blocks, &next) != 0 || next.kind != run->place.kind) break;
    if (next.kind == Kind::kData && next.host != run->place.host + blocks * unit) break;
    blocks += HasPlace(next.kind) ? 1 : std::max<uint64_t>(next.run, 1);
  }
  run->length = blocks > (in_block + length) / unit ? length : blocks * unit - in_block;
  run->length = std::min(run->length, length);
  if (run->place.kind == Kind::kData) run->place.host += in_block;
  return 0;
}

Result<Extent> MappedStore::Map(uint64_t offset, uint64_t length) {
  Run run;
  {
    MutexLock lock(mutex_);
    if (const int error = FindRun(offset, length, &run); error != 0) {
      return FailErrno(error, "look up offset {}", offset);
    }
  }
  Extent extent{.offset = offset, .length = run.length};
  switch (run.place.kind) {
    case Kind::kAbsent:
      extent.allocated = extent.zero = shape_.absent_is_own;
      break;
    case Kind::kZero:
      extent.allocated = extent.zero = true;
      break;
    case Kind::kData:
      extent.allocated = extent.data = true;
      extent.stored_at = run.place.host;
      extent.ask_file = shape_.ask_file;
      break;
    case Kind::kPacked:
      extent.allocated = extent.data = extent.compressed = true;
  }
  return extent;
}

int MappedStore::ReadAbsent(uint64_t offset, uint64_t length, std::span<const iovec> pieces) {
  if (has_backing()) return ReadBacking(*owner_, owner_offset_ + offset, length, pieces);
  ZeroPieces(pieces, 0);
  return 0;
}

int MappedStore::ReadRange(uint64_t offset, uint64_t length, std::span<const iovec> pieces) {
  return ForParts(offset, length, pieces, [&](uint64_t at, uint64_t* step, auto* now, auto slice) {
    Run run;
    {
      MutexLock lock(mutex_);
      if (const int error = FindRun(at, *step, &run); error != 0) return error;
    }
    if (run.length < *step) slice(run.length);
    switch (run.place.kind) {
      case Kind::kAbsent:
        return ReadAbsent(at, *step, *now);
      case Kind::kZero:
        ZeroPieces(*now, 0);
        return 0;
      case Kind::kData:
        return file_->Perform({.op = Op::kRead, .offset = run.place.host, .length = *step, .pieces = *now});
      case Kind::kPacked:
        break;
    }
    return ReadPacked(run.place, at % shape_.block_bytes, *now);
  });
}

bool MappedStore::IsPending(uint64_t block) const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [&](const Range& range) { return range.Contains(block); });
}

int MappedStore::PlanWrite(uint64_t offset, uint64_t length, Plan* plan) {
  MutexLock lock(mutex_);
  const uint64_t unit = shape_.block_bytes, first = offset / unit;
  while (IsPending(first)) lock.Wait(pending_done_);
  Run run;
  if (const int error = FindRun(offset, length, &run); error != 0) return error;
  if (run.place.kind == Kind::kPacked) return EIO;
  if (run.place.kind == Kind::kData) {
    if (run.place.host < shape_.data_from) return EIO;  // The table says that data is where the tables are.
    *plan = {.length = run.length, .host = run.place.host};
    return 0;
  }
  uint64_t wanted = (offset % unit + run.length + unit - 1) / unit;
  for (uint64_t i = 1; i < wanted; ++i) {
    if (IsPending(first + i)) wanted = i;
  }
  uint64_t host = 0, got = 0;
  if (const int error = Allocate(first, wanted, &host, &got); error != 0) return error;
  *plan = {.length = std::min(run.length, got * unit - offset % unit),
           .host = host + offset % unit,
           .blocks = {first, got},
           .fresh = host >= fresh_from_,
           .keeps = run.place.kind == Kind::kAbsent && has_backing()};
  fresh_from_ = std::max(fresh_from_, host + got * unit);
  pending_.push_back(plan->blocks);
  return 0;
}

// The data, with what surrounds it in blocks that are new and written in part.
int MappedStore::Fill(const Plan& plan, uint64_t offset, std::span<const iovec> pieces) {
  const uint64_t end = offset + plan.length;
  uint64_t head = 0, tail = 0;
  if (plan.blocks.size != 0) {
    head = offset - plan.blocks.start * shape_.block_bytes;
    tail = plan.blocks.end() * shape_.block_bytes - end;
  }
  if (plan.fresh && !plan.keeps) {
    const uint64_t block_end = plan.host + plan.length + tail;
    const uint8_t zero = 0;
    if (tail != 0 && file_->size_bytes() < block_end) {
      // Others expect whole blocks in the file.
      if (const int error = Write(file_, block_end - 1, {&zero, 1}); error != 0) return error;
    }
    head = tail = 0;
  }
  if (head + tail == 0) {
    return file_->Perform({.op = Op::kWrite, .offset = plan.host, .length = plan.length, .pieces = pieces});
  }
  std::vector<uint8_t> around(head + tail);
  const iovec head_piece{around.data(), head}, tail_piece{around.data() + head, tail};
  if (plan.keeps) {
    const iovec inside{tail_piece.iov_base,
                       end >= shape_.size_bytes ? 0 : std::min(tail, shape_.size_bytes - end)};
    if (const int error = ReadAbsent(offset - head, head, {&head_piece, 1}); error != 0) return error;
    if (const int error = ReadAbsent(end, inside.iov_len, {&inside, 1}); error != 0) return error;
  }
  std::vector<iovec> all;
  all.reserve(pieces.size() + 2);
  if (head != 0) all.push_back(head_piece);
  all.insert(all.end(), pieces.begin(), pieces.end());
  if (tail != 0) all.push_back(tail_piece);
  return file_->Perform(
      {.op = Op::kWrite, .offset = plan.host - head, .length = head + plan.length + tail, .pieces = all});
}

// `host`: of the first new block.
int MappedStore::Finish(const Plan& plan, uint64_t host, int error) {
  MutexLock lock(mutex_);
  for (uint64_t i = 0; error == 0 && i < plan.blocks.size; ++i) {
    error = Link(plan.blocks.start + i, {.kind = Kind::kData, .host = host + i * shape_.block_bytes});
  }
  pending_.erase(std::find(pending_.begin(), pending_.end(), plan.blocks));
  pending_done_.notify_all();
  return error;
}

int MappedStore::WriteRange(uint64_t offset, uint64_t length, std::span<const iovec> pieces) {
  return ForParts(offset, length, pieces, [&](uint64_t at, uint64_t* step, auto* now, auto slice) {
    Plan plan;
    if (const int error = PlanWrite(at, *step, &plan); error != 0) return error;
    if (plan.length < *step) slice(plan.length);
    plan.length = *step;
    const int error = Fill(plan, at, *now);
    if (plan.blocks.size == 0) return error;
    return Finish(plan, plan.host - at % shape_.block_bytes, error);
  });
}

// What reads as zeroes already stays as it is.
int MappedStore::ZeroRange(const Request& request) {
  const uint64_t unit = shape_.block_bytes;
  std::vector<uint8_t> zeroes;
  for (uint64_t at = request.offset, end = at + request.length; at < end;) {
    Run run;
    {
      MutexLock lock(mutex_);
      while (IsPending(at / unit)) lock.Wait(pending_done_);
      if (const int error = FindRun(at, end - at, &run); error != 0) return error;
      const bool whole = at % unit == 0 && (run.length >= unit || at + run.length == shape_.size_bytes);
      if (run.place.kind == Kind::kAbsent && has_backing() && shape_.marks_zeroes && whole) {
        if (const int error = Link(at / unit, {.kind = Kind::kZero}); error != 0) return error;
        at += std::min(run.length, unit);
        continue;
      }
    }
    int error = 0;
    if (run.place.kind == Kind::kPacked ||
        (run.place.kind == Kind::kData && run.place.host < shape_.data_from)) {
      error = EIO;
    } else if (run.place.kind == Kind::kData) {
      error = WriteZeroes(file_, run.place.host, run.length, request.may_unmap);
    } else if (run.place.kind == Kind::kAbsent && has_backing()) {
      run.length = std::min(run.length, kZeroBytes);
      zeroes.resize(run.length);
      const iovec piece{zeroes.data(), run.length};
      error = WriteRange(at, run.length, {&piece, 1});
    }
    if (error != 0) return error;
    at += run.length;
  }
  return 0;
}

int MappedStore::Flush() {
  MutexLock turn(flushing_);
  std::vector<TableWrite> writes;
  {
    MutexLock lock(mutex_);
    writes = TakeTables();
  }
  int error = block::Flush(file_);
  if (!writes.empty()) {
    if (error == 0) error = StoreTables(writes);
    MutexLock lock(mutex_);
    tables_.Written(writes, error == 0);
  }
  return error;
}

int MappedStore::StoreTables(std::span<const TableWrite> writes) {
  std::vector<uint8_t> together;
  for (size_t i = 0; i < writes.size();) {
    const uint64_t start = writes[i].offset;
    together = writes[i++].bytes;
    while (i < writes.size() && writes[i].offset == start + together.size() &&
           together.size() < kMaxTableWrite) {
      together.insert(together.end(), writes[i].bytes.begin(), writes[i].bytes.end());
      ++i;
    }
    if (const int error = Write(file_, start, together); error != 0) return error;
  }
  return block::Flush(file_);
}

}  // namespace berth::block
