#include "hw/virtio/block_request.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "hw/virtio/chain.h"

namespace berth::hw {
namespace {

struct Header {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};
static_assert(sizeof(Header) == 16);

constexpr uint32_t kSegmentUnmap = 1;
constexpr size_t kIdBytes = 20;

}  // namespace

BlockRequest::Step BlockRequest::Begin(const BlockRules& rules, bool durable) {
  status_ = BlockStatus::kOk;
  data_bytes_ = written_bytes_ = 0;
  offset = length = 0;
  // The status is the last byte the device may write, wherever that is.
  if (chain.writable.empty()) return Step::kBroken;
  const GuestBuffer& last = chain.writable.back();
  status_byte_ = rules.memory->HostBytes(last.address + last.size - 1, 1).data();
  if (status_byte_ == nullptr) return Step::kBroken;

  Header header;
  if (!LoadChain(*rules.memory, chain.readable, 0, &header)) return Answer(BlockStatus::kIoError);
  type_ = static_cast<BlockType>(header.type);
  switch (type_) {
    case BlockType::kIn:
      data_bytes_ = chain.writable_bytes() - 1;
      return Transfer(rules, header.sector, durable);
    case BlockType::kOut:
      data_bytes_ = chain.readable_bytes() - sizeof(Header);
      return Transfer(rules, header.sector, durable);
    case BlockType::kFlush:
      if (!(rules.features & kBlockFlush)) return Answer(BlockStatus::kUnsupported);
      op = block::Op::kFlush;
      return Step::kSubmit;
    case BlockType::kGetId:
      data_bytes_ = chain.writable_bytes() - 1;
      return GetId(rules);
    case BlockType::kDiscard:
    case BlockType::kWriteZeroes:
      data_bytes_ = chain.readable_bytes() - sizeof(Header);
      return Ranges(rules, durable);
  }
  return Answer(BlockStatus::kUnsupported);
}

BlockRequest::Step BlockRequest::Next() {
  if (error != 0) return Answer(BlockStatus::kIoError);
  if (type_ == BlockType::kIn) written_bytes_ = data_bytes_;
  if (type_ == BlockType::kDiscard || type_ == BlockType::kWriteZeroes) return NextRange();
  return Answer(BlockStatus::kOk);
}

uint32_t BlockRequest::Finish() {
  *status_byte_ = static_cast<uint8_t>(status_);
  // The length counts from the start of the writable part without a gap (2.7.8.2), and the status is at its
  // end.
  const uint64_t whole = chain.writable_bytes();
  return static_cast<uint32_t>(
      std::min<uint64_t>(written_bytes_ + 1 == whole ? whole : written_bytes_, UINT32_MAX));
}

BlockRequest::Step BlockRequest::Answer(BlockStatus status) {
  status_ = status;
  return Step::kDone;
}

// "num_sectors" is not in the header: the length of the data says it. A request outside of the disk, or of a
// part of a sector, fails.
BlockRequest::Step BlockRequest::Transfer(const BlockRules& rules, uint64_t sector, bool durable) {
  const bool in = type_ == BlockType::kIn;
  const uint64_t sectors = data_bytes_ / kSectorSize;
  if (!in && (rules.features & kBlockReadOnly)) return Answer(BlockStatus::kIoError);
  if (data_bytes_ % kSectorSize != 0) return Answer(BlockStatus::kIoError);
  if (!Range{0, rules.config.capacity}.Contains(sector, sectors)) return Answer(BlockStatus::kIoError);
  vector_.clear();
  if (!AppendPieces(*rules.memory, in ? chain.writable : chain.readable, in ? 0 : sizeof(Header), data_bytes_,
                    &vector_)) {
    return Answer(BlockStatus::kIoError);
  }
  op = in ? block::Op::kRead : block::Op::kWrite;
  fua = durable;
  offset = sector * kSectorSize;
  length = data_bytes_;
  pieces = vector_;
  return Step::kSubmit;
}

BlockRequest::Step BlockRequest::GetId(const BlockRules& rules) {
  std::array<uint8_t, kIdBytes> id{};
  std::copy_n(rules.serial.begin(), std::min(rules.serial.size(), kIdBytes), id.begin());
  const size_t size = std::min<uint64_t>(data_bytes_, kIdBytes);
  if (!WriteChain(*rules.memory, chain.writable, 0, {id.data(), size})) return Answer(BlockStatus::kIoError);
  written_bytes_ = size;
  return Answer(BlockStatus::kOk);
}

// All segments are checked before the first is carried out.
BlockRequest::Step BlockRequest::Ranges(const BlockRules& rules, bool durable) {
  const bool discard = type_ == BlockType::kDiscard;
  if (!(rules.features & (discard ? kBlockDiscard : kBlockWriteZeroes)))
    return Answer(BlockStatus::kUnsupported);
  const uint64_t count = data_bytes_ / sizeof(Segment);
  if (data_bytes_ % sizeof(Segment) != 0 || count == 0 || count > kMaxRangeSegments) {
    return Answer(BlockStatus::kIoError);
  }
  segments_.resize(count);
  if (!ReadChain(*rules.memory, chain.readable, sizeof(Header),
                 {reinterpret_cast<uint8_t*>(segments_.data()), data_bytes_})) {
    return Answer(BlockStatus::kIoError);
  }
  for (const Segment& segment : segments_) {
    // 5.2.6.2: unknown flags, and the unmap flag of a discard, are unsupported.
    if ((segment.flags & ~(discard ? 0 : kSegmentUnmap)) != 0) return Answer(BlockStatus::kUnsupported);
    if (segment.num_sectors > kMaxRangeSectors ||
        !Range{0, rules.config.capacity}.Contains(segment.sector, segment.num_sectors)) {
      return Answer(BlockStatus::kIoError);
    }
  }
  op = discard ? block::Op::kDiscard : block::Op::kWriteZeroes;
  fua = durable;
  next_segment_ = 0;
  return NextRange();
}

BlockRequest::Step BlockRequest::NextRange() {
  if (next_segment_ == segments_.size()) return Answer(BlockStatus::kOk);
  const Segment& segment = segments_[next_segment_++];
  may_unmap = (segment.flags & kSegmentUnmap) != 0;
  offset = segment.sector * kSectorSize;
  length = uint64_t{segment.num_sectors} * kSectorSize;
  return Step::kSubmit;
}

}  // namespace berth::hw
