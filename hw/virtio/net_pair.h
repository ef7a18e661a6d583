// A receive and a transmit queue, and the port between them and the world, on the device's loop.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "hw/virtio/device.h"
#include "hw/virtio/net_receive.h"
#include "hw/virtio/net_transmit.h"

namespace berth::hw {

struct NetCounters {
  NetReceiveCounters receive;
  NetTransmitCounters transmit;
};

class NetPair {
 public:
  struct Parts {
    const GuestMemory* memory;
    EventLoop* loop;
    VirtQueue* receive_ring;
    VirtQueue* transmit_ring;
    net::PacketQueue* port;
    const ReceiveFilter* filter;
    NetCounters* counters;
    uint64_t features;
    // The driver has broken a rule; the pair has stopped.
    std::function<void(std::string_view why)> broken;
    // The port is gone; nothing is received any more.
    std::function<void()> port_failed;
  };
  // Everything passed outlives the pair.
  explicit NetPair(Parts parts);
  ~NetPair() { Stop(); }

  // Starts moving packets, or goes on.
  Status Start();
  // Buffers of the driver that are held stay held.
  void Stop();
  // While the link is down, what is sent is lost and nothing arrives.
  void SetLink(bool up);
  NetReceiver& receiver() { return receiver_; }

 private:
  void PortReady(uint32_t events);
  void Receive();
  void Transmit();
  void Watch();
  void PortFailed();
  void Broken(std::string_view why);

  const Parts parts_;
  NetReceiver receiver_;
  NetTransmitter transmitter_;
  bool running_ = false;
  bool link_up_ = true;
  bool lacks_buffers_ = false;  // To receive into: the driver kicks when it has added some.
  bool port_full_ = false;      // And the packet to send waits.
  bool port_failed_ = false;
};

}  // namespace berth::hw
