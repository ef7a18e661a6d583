// Where the host's kernel shows itself. The only place in Berth that names /sys, /proc, /dev and the cgroup
// mount: everything that reads or changes a host takes a HostRoots, so a test gives it a directory.
#pragma once

#include <string>

namespace berth::host {

struct HostRoots {
  std::string sys = "/sys";
  std::string proc = "/proc";
  std::string dev = "/dev";
  // The cgroup v2 hierarchy.
  std::string cgroup = "/sys/fs/cgroup";
  // Below it, what guests' cgroups are made in: one at the top, that is made when it is needed, or one that
  // is there and was delegated ("system.slice/berth-guests.service").
  std::string guests_cgroup = "berth";
  // The names of PCI vendors, devices and classes; functions stay nameless if it is not there.
  std::string pci_ids = "/usr/share/misc/pci.ids";
  // The kernels' modules, a directory for each release.
  std::string modules = "/lib/modules";
  // Mediated devices that are defined with mdevctl.
  std::string mdevctl = "/etc/mdevctl.d";

  // `directory`/sys, `directory`/proc and so on.
  static HostRoots At(const std::string& directory);
};

}  // namespace berth::host
