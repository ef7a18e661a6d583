#include "hw/virtio/net_filter.h"

#include <algorithm>

#include "base/bytes.h"

namespace berth::hw {
namespace {

constexpr uint16_t kTypeVlan = 0x8100;
constexpr MacAddress kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

bool Contains(const std::vector<MacAddress>& table, const MacAddress& address) {
  return std::find(table.begin(), table.end(), address) != table.end();
}

}  // namespace

bool ReceiveFilter::Accepts(std::span<const uint8_t> frame) const {
  if (frame.size() < kMinFrameSize) return false;
  if (filter_vlans && LoadBe<uint16_t>(&frame[12]) == kTypeVlan) {
    if (frame.size() < kFilterBytes || !vlans[LoadBe<uint16_t>(&frame[14]) & 0xfff]) return false;
  }
  if (promiscuous) return true;
  MacAddress to;
  std::copy_n(frame.begin(), to.size(), to.begin());
  if (to == kBroadcast) return !no_broadcast;
  if (to[0] & 1) {
    if (no_multicast) return false;
    return all_multicast || multicast_overflow || Contains(multicast, to);
  }
  if (no_unicast) return false;
  return all_unicast || unicast_overflow || to == mac || Contains(unicast, to);
}

}  // namespace berth::hw
