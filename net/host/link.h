// Network interfaces by rtnetlink, in the network namespace of the calling thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "net/host/mac_address.h"

namespace berth::net {

struct Link {
  int index = 0;
  std::string name;
  std::string kind;   // "bridge", "tun", "veth"…; empty for hardware.
  std::string alias;  // ifalias
  MacAddress mac;
  uint32_t mtu = 0;
  bool up = false;  // Administratively.
  int master = 0;   // Index of the bridge or bond it belongs to; 0: none.
};

// What to change; the rest is left alone.
struct LinkSettings {
  std::optional<bool> up;
  std::optional<uint32_t> mtu;
  std::optional<MacAddress> mac;
  std::optional<int> master;  // 0: none.
  std::optional<std::string> alias;
};

// NOT_FOUND, INTERFACE_NOT_FOUND.
Result<Link> FindLink(const std::string& name);
Result<Link> FindLink(int index);
// NOT_FOUND, BRIDGE_NOT_FOUND; FAILED_PRECONDITION, NOT_A_BRIDGE.
Result<Link> FindBridge(const std::string& name);
Status ChangeLink(int index, const LinkSettings& settings);
// Ok if there is none.
Status DeleteLink(int index);

}  // namespace berth::net
