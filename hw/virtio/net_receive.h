// From the port into the receive queue: VIRTIO 1.2 section 5.1.6.3 and 5.1.6.4.
//
// Packets are read straight into the driver's buffers. Buffers are taken from the queue ahead of packets, as
// many as the largest packet needs; those that a packet leaves are the next one's. What a packet has too much
// for them ends in a buffer of our own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/counter.h"
#include "hw/virtio/net_filter.h"
#include "hw/virtio/queue.h"
#include "net/packet_queue.h"

namespace berth::hw {

struct NetReceiveCounters {
  Counter packets, bytes, filtered, too_large, errors;
};

class NetReceiver {
 public:
  // Everything passed outlives this.
  NetReceiver(const GuestMemory* memory, VirtQueue* ring, net::PacketQueue* port, const ReceiveFilter* filter,
              uint64_t features, NetReceiveCounters* counters);

  enum class Outcome {
    kPortEmpty,  // Go on when there is a packet.
    kNoBuffers,  // Go on when the driver has added buffers.
    kMore,       // The budget is used up.
    kBroken,     // The driver's buffers are not to be used: error() says why.
    kPortFailed,
  };
  // Receives up to `budget` packets. The caller notifies the driver.
  Outcome Run(unsigned budget);
  const std::string& error() const { return error_; }

  // The largest packet there may be, header included; buffers are held ready for it.
  void SetLargestPacket(uint32_t bytes) { largest_packet_ = bytes; }
  // Whether headers may tell of checksums: VIRTIO_NET_F_GUEST_CSUM.
  void SetGuestChecksum(bool enabled) { guest_checksum_ = enabled; }

 private:
  // A chain of the queue that is held ready.
  struct Buffer {
    DescriptorChain chain;
    std::vector<iovec> pieces;
    uint64_t bytes = 0;
  };

  bool Fill(uint64_t bytes);
  bool TakeBuffer();
  ssize_t ReadPacket();
  bool Wanted(uint64_t packet_size) const;
  void Deliver(uint64_t packet_size);
  Outcome DeliverHeldUp();

  const GuestMemory& memory_;
  VirtQueue& ring_;
  net::PacketQueue& port_;
  const ReceiveFilter& filter_;
  const bool mergeable_;
  bool guest_checksum_ = false;
  NetReceiveCounters& counters_;
  uint32_t largest_packet_;
  std::string error_;

  std::vector<std::unique_ptr<Buffer>> buffers_;  // Taken from the queue, in order.
  std::vector<std::unique_ptr<Buffer>> idle_;
  uint64_t room_ = 0;          // In buffers_.
  std::vector<iovec> pieces_;  // What a packet is read into: buffers_ and the tail.
  uint64_t room_read_ = 0;     // Of these, in buffers_.
  std::vector<VirtQueue::Used> used_;
  std::unique_ptr<uint8_t[]>
      tail_;              // kTailSize bytes; what of a packet is in it lies at its place in the packet.
  uint64_t held_up_ = 0;  // The size of a packet that is all in tail_ and waits for buffers, or 0.
};

}  // namespace berth::hw
