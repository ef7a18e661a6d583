// What virtio-net tells of itself: feature bits (VIRTIO 1.2 section 5.1.3), configuration (5.1.4), and the
// header of every packet (5.1.6).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "net/packet_queue.h"

namespace berth::hw {

inline constexpr uint64_t kNetChecksum = 1ull << 0, kNetGuestChecksum = 1ull << 1,
                          kNetCtrlGuestOffloads = 1ull << 2, kNetMtu = 1ull << 3, kNetMac = 1ull << 5,
                          kNetGuestTso4 = 1ull << 7, kNetGuestTso6 = 1ull << 8, kNetGuestEcn = 1ull << 9,
                          kNetGuestUfo = 1ull << 10, kNetHostTso4 = 1ull << 11, kNetHostTso6 = 1ull << 12,
                          kNetHostEcn = 1ull << 13, kNetHostUfo = 1ull << 14, kNetMergeable = 1ull << 15,
                          kNetStatus = 1ull << 16, kNetCtrlQueue = 1ull << 17, kNetCtrlRx = 1ull << 18,
                          kNetCtrlVlan = 1ull << 19, kNetCtrlRxExtra = 1ull << 20, kNetAnnounce = 1ull << 21,
                          kNetMultiQueue = 1ull << 22, kNetCtrlMacAddress = 1ull << 23;
inline constexpr uint64_t kNetGuestOffloads =
    kNetGuestChecksum | kNetGuestTso4 | kNetGuestTso6 | kNetGuestEcn | kNetGuestUfo;

using MacAddress = std::array<uint8_t, 6>;

// `status`.
inline constexpr uint16_t kNetLinkUp = 1, kNetAnnounceNeeded = 2;

struct [[gnu::packed]] NetConfig {
  MacAddress mac{};
  uint16_t status = 0;
  uint16_t max_virtqueue_pairs = 0;
  uint16_t mtu = 0;
};
static_assert(sizeof(NetConfig) == 12);

// In front of every packet.
struct NetHeader {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t hdr_len;
  uint16_t gso_size;
  uint16_t csum_start;
  uint16_t csum_offset;
  uint16_t num_buffers;
};
static_assert(sizeof(NetHeader) == net::kVnetHeaderSize);
inline constexpr uint8_t kNetHeaderNeedsChecksum = 1;
inline constexpr uint8_t kNetGsoNone = 0, kNetGsoTcp4 = 1, kNetGsoUdp = 3, kNetGsoTcp6 = 4, kNetGsoEcn = 0x80;

// An IP packet of the largest size behind an Ethernet header with a VLAN tag.
inline constexpr uint32_t kMaxFrameSize = 65535 + 18;
inline constexpr uint32_t kMaxPacketSize = sizeof(NetHeader) + kMaxFrameSize;
inline constexpr uint32_t kMinFrameSize = 14;

// What a device offers, whose packets go through a port with these offloads.
uint64_t NetFeatures(const net::Offloads& port, unsigned queue_pairs);
// Among the feature bits of the guest's side, what they mean for the port.
net::Offloads OffloadsOf(uint64_t guest_offloads);

// Makes a header of the driver's into one that asks the host for nothing that was not negotiated, for a frame
// of this size (5.1.6.2); false if the packet must be dropped.
[[nodiscard]] bool CheckTransmitHeader(uint64_t features, uint64_t frame_size, NetHeader* header);

}  // namespace berth::hw
