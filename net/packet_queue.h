// PacketQueue: where a NIC's packets come from and go to, one for each pair of its queues.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "base/error.h"

namespace berth::net {

// Every packet is preceded by a header as virtio has it (struct virtio_net_hdr_v1): it carries what checksums
// and segmentation are still to be done. Its last two bytes, num_buffers, are the reader's to fill in.
inline constexpr size_t kVnetHeaderSize = 12;

// What the guest can do with packets it receives: any subset.
struct Offloads {
  bool checksum = false;  // A packet may come without its checksum. The others need it.
  bool tso4 = false;
  bool tso6 = false;
  bool tso_ecn = false;
  bool ufo = false;
  friend bool operator==(const Offloads&, const Offloads&) = default;
};

// Threads: one user at a time.
class PacketQueue {
 public:
  virtual ~PacketQueue() = default;

  // To be watched: EPOLLIN when there is a packet, EPOLLOUT when there is room for one.
  virtual int fd() const = 0;
  // The next packet into `pieces`, header first: its size, cut off where the pieces end; -EAGAIN if there is
  // none, or another negative errno value. Never waits.
  virtual ssize_t Receive(std::span<const iovec> pieces) = 0;
  // Sends one packet, header first: 0 or more, -EAGAIN if there is no room, or another negative errno value
  // (EINVAL: the header makes no sense). Never waits.
  virtual ssize_t Send(std::span<const iovec> pieces) = 0;
  // What Receive may bring from now on.
  virtual Status SetOffloads(const Offloads& offloads) = 0;
  // Whether packets are steered here at all. Queues but the first begin disabled.
  virtual Status SetEnabled(bool enabled) = 0;
};

}  // namespace berth::net
