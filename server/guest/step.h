// The changes a guest's start makes on the host, as data.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "host/control/cgroup.h"
#include "host/pci_address.h"
#include "mdev/mdev.h"
#include "net/host/vf.h"

namespace berth::server {

// A directory of the guest's own below the runtime directory, for its control socket.
struct RuntimeDirectoryStep {
  std::string path;
};
// As many virtual functions as are needed. Shared by all guests that use some of the same physical function:
// they are put back with the last of them.
struct VfsStep {
  host::PciAddress physical_function;
  int count = 0;
};
struct VfSettingsStep {
  host::PciAddress physical_function;
  int vf_index = 0;
  net::VfSettings wanted;
};
// A PCI function to vfio-pci: given by its address, or as a virtual function, whose address is known once it
// exists.
struct DriverStep {
  std::optional<host::PciAddress> address;
  host::PciAddress physical_function;
  int vf_index = 0;
};
struct MdevStep {
  std::string uuid, parent, type;
  std::vector<mdev::MdevAttribute> attributes;
};
// A virtual function that its vendor's driver makes a vGPU.
struct VgpuTypeStep {
  host::PciAddress address;
  int type = 0;
};
struct TapStep {
  std::string owner;  // "GUEST-UID/net0"
  std::string bridge;
  int queues = 1;
  uint32_t mtu = 0;
};
// What a guest gets of the disk that a path is on.
struct DiskLimit {
  std::string path;
  host::IoMax limit;  // But for its device.
};
struct CgroupStep {
  std::string guest;  // The guest's id.
  host::CgroupLimits limits;
  std::vector<DiskLimit> disks;  // Limits that are not in `limits` yet.
  std::vector<host::CgroupChild> children;
};

// A process that is there already and is ended when the step is undone.
struct ProcessStep {
  int pid = 0;
};

using Step = std::variant<RuntimeDirectoryStep, VfsStep, VfSettingsStep, DriverStep, MdevStep, VgpuTypeStep,
                          TapStep, CgroupStep, ProcessStep>;

// What the store knows a step by: "runtime-directory", "vfs", "vf-settings", "driver", "mdev", "vgpu-type",
// "tap", "cgroup", "process".
std::string KindOf(const Step& step);
// What it changes, for people and for finding the same change of another guest: "0000:01:00.0", "net0".
std::string SubjectOf(const Step& step);
// Whether guests share a change of this kind.
bool IsShared(const std::string& kind);

}  // namespace berth::server
