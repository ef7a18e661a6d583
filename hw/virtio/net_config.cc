#include "hw/virtio/net_config.h"

namespace berth::hw {

uint64_t NetFeatures(const net::Offloads& port, unsigned queue_pairs) {
  uint64_t features = kNetMtu | kNetMac | kNetMergeable | kNetStatus | kNetCtrlQueue | kNetCtrlRx |
                      kNetCtrlVlan | kNetCtrlRxExtra | kNetAnnounce | kNetCtrlMacAddress;
  if (queue_pairs > 1) features |= kNetMultiQueue;
  // A port that takes these from us segments and sums for the guest as well.
  if (port.checksum) features |= kNetChecksum | kNetGuestChecksum | kNetCtrlGuestOffloads;
  if (port.tso4) features |= kNetHostTso4 | kNetGuestTso4;
  if (port.tso6) features |= kNetHostTso6 | kNetGuestTso6;
  if (port.tso_ecn) features |= kNetHostEcn | kNetGuestEcn;
  if (port.ufo) features |= kNetHostUfo | kNetGuestUfo;
  return features;
}

net::Offloads OffloadsOf(uint64_t guest_offloads) {
  return {.checksum = (guest_offloads & kNetGuestChecksum) != 0,
          .tso4 = (guest_offloads & kNetGuestTso4) != 0,
          .tso6 = (guest_offloads & kNetGuestTso6) != 0,
          .tso_ecn = (guest_offloads & kNetGuestEcn) != 0,
          .ufo = (guest_offloads & kNetGuestUfo) != 0};
}

bool CheckTransmitHeader(uint64_t features, uint64_t frame_size, NetHeader* header) {
  header->num_buffers = 0;
  header->flags &= kNetHeaderNeedsChecksum;  // The other flags are the device's.
  if (header->flags & kNetHeaderNeedsChecksum) {
    if (!(features & kNetChecksum)) return false;
    if (uint32_t{header->csum_start} + header->csum_offset + 2 > frame_size) return false;
  } else {
    header->csum_start = header->csum_offset = 0;
  }
  uint64_t needed = 0;
  switch (header->gso_type & ~kNetGsoEcn) {
    case kNetGsoNone:
      header->gso_type = kNetGsoNone;
      header->gso_size = header->hdr_len = 0;
      return true;
    case kNetGsoTcp4:
      needed = kNetHostTso4;
      break;
    case kNetGsoTcp6:
      needed = kNetHostTso6;
      break;
    case kNetGsoUdp:
      needed = kNetHostUfo;
      break;
    default:
      return false;
  }
  if (header->gso_type & kNetGsoEcn) needed |= kNetHostEcn;
  if ((features & needed) != needed) return false;
  // "If one of the VIRTIO_NET_HDR_GSO_TCP4, TCP6 or UDP options have been set in gso_type, the driver MUST
  // also set NEEDS_CSUM"; hdr_len is a hint.
  if (!(header->flags & kNetHeaderNeedsChecksum) || header->gso_size == 0) return false;
  if (header->hdr_len > frame_size) header->hdr_len = 0;
  return true;
}

}  // namespace berth::hw
