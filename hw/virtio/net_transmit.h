// From the transmit queue to the port: VIRTIO 1.2 section 5.1.6.2.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/counter.h"
#include "hw/virtio/net_config.h"
#include "hw/virtio/queue.h"
#include "net/packet_queue.h"

namespace berth::hw {

struct NetTransmitCounters {
  Counter packets, bytes, invalid, errors;
};

class NetTransmitter {
 public:
  // Everything passed outlives this.
  NetTransmitter(const GuestMemory* memory, VirtQueue* ring, net::PacketQueue* port, uint64_t features,
                 NetTransmitCounters* counters);

  enum class Outcome {
    kQueueEmpty,  // Go on when the driver kicks.
    kPortFull,    // Go on when the port has room.
    kMore,        // The budget is used up.
    kBroken,      // error() says why.
  };
  // Sends up to `budget` packets; drops them instead while the link is down. The caller notifies the driver.
  Outcome Run(unsigned budget, bool link_up);
  const std::string& error() const { return error_; }

 private:
  // Packets that are given back to the driver together.
  static constexpr size_t kBatch = 32;

  bool Prepare(const DescriptorChain& chain);
  void Done();
  void GiveBack();

  const GuestMemory& memory_;
  VirtQueue& ring_;
  net::PacketQueue& port_;
  const uint64_t features_;
  NetTransmitCounters& counters_;
  std::string error_;

  std::array<DescriptorChain, kBatch> chains_;
  size_t done_ = 0;       // The first so many chains_ are sent or dropped.
  bool waiting_ = false;  // The next one is prepared and waits for the port.
  NetHeader header_{};    // Our copy of its header.
  std::vector<iovec> pieces_;
  uint64_t frame_size_ = 0;
};

}  // namespace berth::hw
