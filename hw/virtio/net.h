// virtio-net: VIRTIO 1.2 section 5.1, over the queues of a tap.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "hw/virtio/device.h"
#include "hw/virtio/net_config.h"
#include "net/tap.h"
#include "net/vhost.h"

namespace berth::hw {

inline constexpr uint16_t kMaxQueuePairs = 16;

struct VirtioNetOptions {
  std::string name{};  // For messages.
  MacAddress mac{};    // Unicast.
  uint16_t mtu = 1500;
  uint16_t queue_size = 256;
};

class VirtioNet : public VirtioDevice {
 public:
  // Loop thread, all of them. Where the kernel moves the packets (vhost), a link that is down is only told to
  // the driver.
  virtual void SetLink(bool up) = 0;
  // Asks the driver to make itself known to the network: after a migration.
  virtual void Announce() = 0;
  // Whether the kernel moves the packets at present.
  virtual bool uses_vhost() const = 0;
};

// One pair of queues for each queue of `port`; with as many of `vhost`, or none. Where vhost cannot start,
// packets are moved by this process. The device is destroyed on its loop's thread, or when none runs it.
// INVALID_ARGUMENT for options that make no NIC.
Result<std::unique_ptr<VirtioNet>> CreateVirtioNet(const VirtioNetOptions& options, net::TapInterface port,
                                                   std::vector<std::unique_ptr<net::VhostNet>> vhost = {});

}  // namespace berth::hw
