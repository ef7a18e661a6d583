// One request of virtio-blk, from the chain it came in to the status byte. VIRTIO 1.2 section 5.2.6.
//
// Everything in the chain is the guest's: the header and the segments are copied once and only the copies are
// looked at.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "block/node.h"
#include "hw/virtio/block_config.h"
#include "hw/virtio/queue.h"

namespace berth::hw {

enum class BlockType : uint32_t {
  kIn = 0,
  kOut = 1,
  kFlush = 4,
  kGetId = 8,
  kDiscard = 11,
  kWriteZeroes = 13
};

enum class BlockStatus : uint8_t { kOk = 0, kIoError = 1, kUnsupported = 2 };

// What a request is checked against.
struct BlockRules {
  const GuestMemory* memory = nullptr;
  uint64_t features = 0;  // As negotiated.
  BlockConfig config;
  std::string_view serial;
};

class BlockRequest : public block::Request {
 public:
  DescriptorChain chain;
  void* owner = nullptr;  // Of the device.

  enum class Step {
    kSubmit,  // To the node, as it is; then Next.
    kDone,    // Answer the driver: Finish.
    kBroken,  // There is no byte for the status: the driver is not to be reasoned with.
  };
  // Looks at the chain. `durable`: writes complete only when they are on stable storage.
  Step Begin(const BlockRules& rules, bool durable);
  // After the node's completion.
  Step Next();
  // Writes the status byte, and returns what VirtQueue::Push wants to know.
  uint32_t Finish();

  BlockType type() const { return type_; }
  BlockStatus status() const { return status_; }
  uint64_t data_bytes() const { return data_bytes_; }

 private:
  // 5.2.6: one range of a discard or write zeroes request.
  struct Segment {
    uint64_t sector;
    uint32_t num_sectors;
    uint32_t flags;
  };

  Step Answer(BlockStatus status);
  Step Transfer(const BlockRules& rules, uint64_t sector, bool durable);
  Step GetId(const BlockRules& rules);
  Step Ranges(const BlockRules& rules, bool durable);
  Step NextRange();

  BlockType type_ = BlockType::kIn;
  BlockStatus status_ = BlockStatus::kOk;
  uint64_t data_bytes_ = 0;     // Of the readable or the writable part, without header and status.
  uint64_t written_bytes_ = 0;  // Into the writable part, without the status.
  uint8_t* status_byte_ = nullptr;
  std::vector<iovec> vector_;
  std::vector<Segment> segments_;
  size_t next_segment_ = 0;
};

}  // namespace berth::hw
