// A guest's tap interface on the host, on a bridge. It is not persistent: the kernel removes it when the last
// descriptor of its queues is closed, so a guest that dies leaves none behind.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "host/roots.h"
#include "net/host/mac_address.h"

namespace berth::net {

inline constexpr int kMaxTapQueues = 256;  // MAX_TAP_QUEUES of Linux.

// A tap we make; store it before CreateTap.
struct TapChange {
  std::string name;  // TapName's.
  std::string
      owner;  // Put into the interface's alias, so that only a tap of ours is ever removed: "GUEST-UID/nic0"
  int queues = 1;
  std::string bridge;  // Empty: none.
  uint32_t mtu = 0;    // 0: the bridge's, or the kernel's default.

  friend bool operator==(const TapChange&, const TapChange&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("name", self.name);
    visit("owner", self.owner);
    visit("queues", self.queues);
    visit("bridge", self.bridge);
    visit("mtu", self.mtu);
  }
};

struct Tap {
  std::string name;
  int interface_index = 0;
  uint32_t mtu = 0;
  std::vector<UniqueFd>
      queues;  // IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, and IFF_MULTI_QUEUE if more than one; non-blocking.
};

// "bt" and 12 characters made of `owner`: always fits IFNAMSIZ, always the same for the same owner.
std::string TapName(std::string_view owner);

// INVALID_ARGUMENT: BAD_TAP_QUEUES, BAD_MTU. NOT_FOUND, BRIDGE_NOT_FOUND; FAILED_PRECONDITION, NOT_A_BRIDGE;
// ALREADY_EXISTS, TAP_EXISTS (with the owner); FAILED_PRECONDITION, TUN_NOT_AVAILABLE.
Result<TapChange> PlanTap(const host::HostRoots& roots, const std::string& owner, const std::string& bridge,
                          int queues = 1, uint32_t mtu = 0);
// Makes it, puts it on the bridge and up. On failure it is gone again. The bridge keeps its MAC address.
Result<Tap> CreateTap(const host::HostRoots& roots, const TapChange& change);
// Ok if it is not there, or not ours.
Status RemoveTap(const TapChange& change);

// One descriptor of /dev/vhost-net a queue pair. FAILED_PRECONDITION, VHOST_NET_NOT_AVAILABLE.
Result<std::vector<UniqueFd>> OpenVhostNet(const host::HostRoots& roots, int queues);

}  // namespace berth::net
