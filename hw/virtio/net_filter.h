// Which of the packets that arrive at a NIC its driver wants: VIRTIO 1.2 sections 5.1.6.5.1 to 5.1.6.5.3.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>
#include <vector>

#include "hw/virtio/net_config.h"

namespace berth::hw {

// Of a driver's table of addresses; with more, everything of the kind is let through.
inline constexpr size_t kMaxFilterAddresses = 64;
// As much of a frame as the filter wants to see: addresses, type, VLAN tag.
inline constexpr size_t kFilterBytes = 18;

struct ReceiveFilter {
  MacAddress mac{};
  // Until a driver says otherwise all is let through: it may have no control queue to say so.
  bool promiscuous = true;
  bool all_multicast = false;
  bool all_unicast = false;
  bool no_multicast = false;
  bool no_unicast = false;
  bool no_broadcast = false;
  bool unicast_overflow = false;
  bool multicast_overflow = false;
  std::vector<MacAddress> unicast;
  std::vector<MacAddress> multicast;
  bool filter_vlans = false;
  std::bitset<4096> vlans;

  // `frame` begins with the destination's address and holds kFilterBytes, or all there is.
  bool Accepts(std::span<const uint8_t> frame) const;
};

}  // namespace berth::hw
