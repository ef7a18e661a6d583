#include "hw/virtio/net_vhost.h"

#include <vector>

#include "hw/virtio/net_config.h"

namespace berth::hw {
namespace {

constexpr uint64_t kRingFeatures = kVirtioRingIndirectDesc | kVirtioRingEventIdx | kVirtioVersion1 |
                                   kVirtioRingPacked | kVirtioInOrder | kVirtioNotificationData |
                                   kVirtioRingReset;

Result<uint64_t> UserAddress(const GuestMemory& memory, uint64_t address, uint64_t size) {
  const std::span<uint8_t> bytes = memory.HostBytes(address, size);
  if (bytes.data() == nullptr) return Fail(Code::kInvalidArgument, "a ring at {:#x} is not in RAM", address);
  return reinterpret_cast<uintptr_t>(bytes.data());
}

Result<net::VhostRing> RingOf(const GuestMemory& memory, const VirtQueue& queue) {
  const QueueLayout& layout = queue.layout();
  net::VhostRing ring{.size = layout.size, .available_index = queue.available_index()};
  ring.descriptor_area = TRY(UserAddress(memory, layout.descriptor_area, 16ull * layout.size));
  ring.driver_area = TRY(UserAddress(memory, layout.driver_area, 6 + 2ull * layout.size));
  ring.device_area = TRY(UserAddress(memory, layout.device_area, 6 + 8ull * layout.size));
  ring.kick_fd = queue.kick_fd();
  ring.call_fd = queue.call_fd();
  return ring;
}

}  // namespace

uint64_t RefusedByVhost(const net::VhostNet& vhost) { return kRingFeatures & ~vhost.features(); }

Status StartVhost(net::VhostNet* vhost, const GuestMemory& memory, uint64_t features,
                  const VirtQueue& receive, const VirtQueue& transmit, int tap_fd) {
  if (const uint64_t missing = features & (kRingFeatures | kNetMergeable) & ~vhost->features();
      missing != 0) {
    return Fail(Code::kUnimplemented, "vhost-net does not serve features {:#x}", missing);
  }
  const std::array<net::VhostRing, 2> rings = {TRY(RingOf(memory, receive)), TRY(RingOf(memory, transmit))};
  std::vector<net::VhostRange> ranges;
  for (const RamRange& range : memory.ranges()) {
    ranges.push_back(
        {range.guest_address, range.mapping.size, reinterpret_cast<uintptr_t>(range.mapping.address)});
  }
  return vhost->Start(features, ranges, rings, tap_fd);
}

}  // namespace berth::hw
