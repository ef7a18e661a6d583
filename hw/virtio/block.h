// virtio-blk: VIRTIO 1.2 section 5.2, over any block node.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "block/node.h"
#include "hw/virtio/device.h"

namespace berth::hw {

inline constexpr uint16_t kMaxBlockQueues = 16;

struct VirtioBlockOptions {
  std::string name{};    // For messages.
  std::string serial{};  // What GET_ID answers; at most 20 bytes.
  uint16_t queues = 1;   // Up to kMaxBlockQueues.
  uint16_t queue_size = 256;
  bool read_only = false;  // Also if the node is.
  bool discard = true;     // Offer discard, and zeroes that may free blocks.
  // The device begins as a write-through cache: a write is complete when it is durable. The driver may change
  // it.
  bool write_through = false;

  // What the guest is told of the disk; 0 for what the node says. Powers of two from 512 on.
  uint32_t logical_block_size_bytes = 0;
  uint32_t physical_block_size_bytes = 0;
  uint32_t optimal_io_size_bytes = 0;
  // Most and largest buffers of a request; 0: as many as fit the queue, and of any size.
  uint32_t max_segments = 0;
  uint32_t max_segment_size_bytes = 0;
};

class VirtioBlock : public VirtioDevice {
 public:
  // The disk has at least so many bytes from now on, and the driver is told. BlockNode::Grow's errors. On the
  // node's loop, or while no thread runs it.
  virtual Status Grow(uint64_t size_bytes) = 0;
};

// The node lives on the loop the device is activated on, and what of it is whole blocks is the disk. The
// device is destroyed on that loop's thread, or when none runs it. INVALID_ARGUMENT for options that make no
// disk.
Result<std::unique_ptr<VirtioBlock>> CreateVirtioBlock(const VirtioBlockOptions& options,
                                                       std::shared_ptr<block::BlockNode> node);

}  // namespace berth::hw
