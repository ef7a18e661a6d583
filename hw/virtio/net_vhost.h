// Hands a pair of queues to vhost-net.
#pragma once

#include <cstdint>

#include "hw/virtio/device.h"
#include "net/vhost.h"

namespace berth::hw {

// Ring features that matter to vhost, of those the transport may offer.
uint64_t RefusedByVhost(const net::VhostNet& vhost);

// Starts `vhost` between a tap and a receive and a transmit queue, where they are. UNIMPLEMENTED for packed
// rings and for other features it cannot serve.
Status StartVhost(net::VhostNet* vhost, const GuestMemory& memory, uint64_t features,
                  const VirtQueue& receive, const VirtQueue& transmit, int tap_fd);

}  // namespace berth::hw
