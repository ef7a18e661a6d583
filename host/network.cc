#include "host/network.h"

#include <algorithm>

#include "host/sysfs.h"

namespace berth::host {

std::vector<NetInterface> ReadNetInterfaces(const HostRoots& roots) {
  std::vector<NetInterface> interfaces;
  const SysfsDirectory net(roots.sys + "/class/net");
  for (const std::string& name : net.Names()) {
    const SysfsDirectory directory = net.Enter(name);
    if (!directory.exists()) continue;  // "bonding_masters" is a file.
    NetInterface interface {
      .name = name, .mac = directory.Text("address").value_or(""),
      .state = directory.Text("operstate").value_or(""), .bridge = directory.Has("bridge"),
      .master = directory.LinkName("master").value_or("")
    };
    interface.mtu =
        static_cast<uint32_t>(std::clamp<int64_t>(directory.Number("mtu").value_or(0), 0, UINT32_MAX));
    const auto device = PciAddress::Parse(directory.LinkName("device").value_or(""));
    if (device) interface.address = *device;
    interfaces.push_back(std::move(interface));
  }
  return interfaces;
}

}  // namespace berth::host
