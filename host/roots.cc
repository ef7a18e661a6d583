#include "host/roots.h"

namespace berth::host {

HostRoots HostRoots::At(const std::string& directory) {
  return {.sys = directory + "/sys",
          .proc = directory + "/proc",
          .dev = directory + "/dev",
          .cgroup = directory + "/sys/fs/cgroup",
          .pci_ids = directory + "/usr/share/misc/pci.ids",
          .modules = directory + "/lib/modules",
          .mdevctl = directory + "/etc/mdevctl.d"};
}

}  // namespace berth::host
