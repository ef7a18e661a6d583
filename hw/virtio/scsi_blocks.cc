// Commands that read, write and unmap blocks. SBC-3 chapter 5.
#include <algorithm>
#include <cerrno>

#include "hw/virtio/scsi_unit.h"

namespace berth::hw {
namespace {

using enum ScsiOperation;

// A block that WRITE SAME writes is repeated in memory up to this size, and that so many times in one write.
constexpr size_t kPatternBytes = 4096;
constexpr size_t kPatternRepeats = 256;

ScsiSense SenseOf(block::Op op, int error) {
  if (op == block::Op::kRead) return sense::kUnrecoveredRead;
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return sense::kNoSpace;
    case EROFS:
    case EPERM:
      return sense::kWriteProtected;
    case EIO:
      return sense::kWriteError;
    default:
      return sense::kInternalFailure;
  }
}

bool IsZero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

struct UnmapDescriptor {
  uint64_t block;
  uint32_t count;
};

// The parameter list of UNMAP (5.28.2); what of it is an incomplete descriptor does not count.
ScsiResult<std::vector<UnmapDescriptor>> ReadUnmapList(const ScsiTask& task) {
  constexpr size_t kHeaderBytes = 8, kDescriptorBytes = 16;
  std::array<uint8_t, kHeaderBytes + kMaxUnmapDescriptors * kDescriptorBytes> list;
  const size_t bytes = std::min<size_t>(task.command.count, list.size());
  if (bytes < kHeaderBytes) return tl::make_unexpected(sense::kParameterListLength);
  if (!task.ReadData(std::span(list).first(bytes))) return tl::make_unexpected(sense::kInvalidParameter);
  const size_t described = LoadBe<uint16_t>(&list[2]) / kDescriptorBytes;
  if (described > kMaxUnmapDescriptors) return tl::make_unexpected(sense::kInvalidParameter);
  if (described > (bytes - kHeaderBytes) / kDescriptorBytes)
    return tl::make_unexpected(sense::kParameterListLength);
  std::vector<UnmapDescriptor> descriptors(described);
  for (size_t i = 0; i < described; ++i) {
    const uint8_t* const at = &list[kHeaderBytes + i * kDescriptorBytes];
    descriptors[i] = {LoadBe<uint64_t>(at), LoadBe<uint32_t>(at + 8)};
  }
  return descriptors;
}

}  // namespace

bool ScsiUnit::HasBlocks(uint64_t block, uint64_t count) const {
  return Range{0, facts_.blocks}.Contains(block, count);
}

ScsiUnit::Step ScsiUnit::StartBlocks(ScsiTask* task) {
  const ScsiOperation operation = task->command.operation;
  const bool writes = operation == kWrite || operation == kWriteSame;
  if (writes && facts_.read_only) return Fail(task, sense::kWriteProtected);
  if (!HasBlocks(task->command.block, task->command.count) && operation != kUnmap)
    return Fail(task, sense::kBlockOutOfRange);
  task->fua = (writes && !facts_.write_cache) || (operation == kWrite && task->command.fua);
  switch (operation) {
    case kSynchronizeCache:
      return Flush(task);
    case kWriteSame:
      return WriteSame(task);
    case kUnmap:
      return Unmap(task);
    case kVerify:  // Without comparing (BYTCHK) it says that the blocks are there.
      return Step::kDone;
    default:
      return Transfer(task);
  }
}

ScsiUnit::Step ScsiUnit::Transfer(ScsiTask* task) {
  const bool writes = task->command.operation == kWrite;
  const uint64_t bytes = uint64_t{task->command.count} * facts_.block_size_bytes;
  if (bytes == 0) return Step::kDone;
  if (bytes > (writes ? task->data_out_bytes() : task->data_in_bytes())) {
    task->Respond(ScsiResponse::kOverrun);
    return Step::kDone;
  }
  if (!task->UseData(writes, bytes)) {
    task->Respond(ScsiResponse::kFailure);
    return Step::kDone;
  }
  task->op = writes ? block::Op::kWrite : block::Op::kRead;
  task->offset = task->command.block * facts_.block_size_bytes;
  return Step::kSubmit;
}

// The range is a hint of what matters; IMMED is, too.
ScsiUnit::Step ScsiUnit::Flush(ScsiTask* task) {
  if (facts_.read_only) return Step::kDone;
  task->op = block::Op::kFlush;
  return Step::kSubmit;
}

ScsiUnit::Step ScsiUnit::WriteSame(ScsiTask* task) {
  constexpr uint8_t kUnmapBit = 0x08, kNoDataOut = 0x01;
  const ScsiCommand& command = task->command;
  const bool unmaps = (command.cdb[1] & kUnmapBit) != 0, no_data = (command.cdb[1] & kNoDataOut) != 0;
  if (command.count == 0 || command.count > MaxRangeBlocks(facts_) || (unmaps && !facts_.thin))
    return Fail(task, sense::kInvalidFieldInCdb);
  const uint32_t block_bytes = facts_.block_size_bytes;
  task->pattern.assign(block_bytes, 0);
  if (!no_data) {
    if (task->data_out_bytes() < block_bytes || !task->ReadData(task->pattern)) {
      task->Respond(ScsiResponse::kOverrun);
      return Step::kDone;
    }
    task->Received(block_bytes);
  }
  const Range whole{command.block * block_bytes, uint64_t{command.count} * block_bytes};
  if (IsZero(task->pattern)) {
    task->op = block::Op::kWriteZeroes;
    task->may_unmap = unmaps;
    task->ranges = {whole};
    return NextRange(task);
  }
  for (size_t size = block_bytes; size < std::min<uint64_t>(kPatternBytes, whole.size); size += block_bytes)
    task->pattern.insert(task->pattern.end(), task->pattern.begin(), task->pattern.begin() + block_bytes);
  task->op = block::Op::kWrite;
  task->ranges = {whole};
  return NextRange(task);
}

// All descriptors are checked before the first is carried out.
ScsiUnit::Step ScsiUnit::Unmap(ScsiTask* task) {
  if (task->command.count == 0) return Step::kDone;
  if (task->command.count > task->data_out_bytes()) {
    task->Respond(ScsiResponse::kOverrun);
    return Step::kDone;
  }
  const ScsiResult<std::vector<UnmapDescriptor>> descriptors = ReadUnmapList(*task);
  if (!descriptors) return Fail(task, descriptors.error());
  uint64_t blocks = 0;
  for (const auto& [block, count] : *descriptors) {
    blocks += count;
    if (blocks > MaxRangeBlocks(facts_)) return Fail(task, sense::kInvalidParameter);
    if (!HasBlocks(block, count)) return Fail(task, sense::kBlockOutOfRange);
    if (count == 0) continue;
    task->ranges.push_back({block * facts_.block_size_bytes, uint64_t{count} * facts_.block_size_bytes});
  }
  task->Received(task->command.count);
  task->op = block::Op::kDiscard;
  return NextRange(task);
}

ScsiUnit::Step ScsiUnit::NextRange(ScsiTask* task) {
  if (task->next_range == task->ranges.size()) return Step::kDone;
  Range& range = task->ranges[task->next_range];
  const std::vector<uint8_t>& pattern = task->pattern;
  const bool repeats = task->op == block::Op::kWrite;
  const uint64_t bytes = repeats ? std::min(range.size, pattern.size() * kPatternRepeats) : range.size;
  task->offset = range.start;
  task->length = bytes;
  range = {range.start + bytes, range.size - bytes};
  if (range.size == 0) ++task->next_range;
  if (!repeats) return Step::kSubmit;
  task->vector.clear();
  for (uint64_t done = 0; done < bytes; done += pattern.size())
    task->vector.push_back({task->pattern.data(), std::min<size_t>(pattern.size(), bytes - done)});
  task->pieces = task->vector;
  return Step::kSubmit;
}

ScsiUnit::Step ScsiUnit::Next(ScsiTask* task) {
  if (task->error != 0) return Fail(task, SenseOf(task->op, task->error));
  const uint64_t bytes = uint64_t{task->command.count} * facts_.block_size_bytes;
  switch (task->command.operation) {
    case kRead:
      task->Sent(bytes);
      return Step::kDone;
    case kWrite:
      task->Received(bytes);
      return Step::kDone;
    case kWriteSame:
    case kUnmap:
      return NextRange(task);
    default:
      return Step::kDone;
  }
}

}  // namespace berth::hw
