// The host's network interfaces: /sys/class/net.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/pci_address.h"
#include "host/roots.h"

namespace berth::host {

struct NetInterface {
  std::string name;
  std::string mac;  // "52:54:00:12:34:56"
  uint32_t mtu = 0;
  std::string state;                  // operstate: "up", "down", "unknown"…
  bool bridge = false;                // It is a bridge.
  std::string master;                 // The bridge or bond it belongs to; empty: none.
  std::optional<PciAddress> address;  // The PCI function it drives.
};

// By name. Never fails.
std::vector<NetInterface> ReadNetInterfaces(const HostRoots& roots);

}  // namespace berth::host
