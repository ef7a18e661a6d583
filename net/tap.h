// A tap interface, by descriptor: one queue of it (tun.rst of the kernel's documentation).
#pragma once

#include <memory>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "net/packet_queue.h"

namespace berth::net {

// What every queue of one interface has in common.
struct TapInterface {
  std::vector<std::unique_ptr<PacketQueue>> queues;
  // The offloads that this kernel takes.
  Offloads offloads;
};

// Takes over descriptors of /dev/net/tun that are attached to one interface (IFF_TAP | IFF_NO_PI |
// IFF_VNET_HDR, and IFF_MULTI_QUEUE if there are several), makes them non-blocking with headers of
// kVnetHeaderSize bytes, and leaves the first enabled and without offloads. INVALID_ARGUMENT if they are
// something else.
Result<TapInterface> OpenTap(std::vector<UniqueFd> fds);

}  // namespace berth::net
