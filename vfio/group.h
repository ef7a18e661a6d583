// A VFIO group: the devices that the IOMMU cannot tell apart, which one guest gets together.
#pragma once

#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "vfio/syscalls.h"
#include "vfio/type1_container.h"

namespace berth::vfio {

// Told of the groups in use before any device of them is opened and after the last is closed: KVM's VFIO
// device, whose knowledge drivers of mediated devices rely on (Documentation/virt/kvm/devices/vfio.rst).
class GroupObserver {
 public:
  virtual ~GroupObserver() = default;
  virtual Status GroupAdded(int group_fd) = 0;
  virtual void GroupRemoved(int group_fd) = 0;
};

// Shared by its devices: it leaves its container when the last of them is closed.
class Group {
 public:
  // `group` is an open /dev/vfio/GROUP in no container. `container` and `observer` (which may be nullptr)
  // outlive the group. FAILED_PRECONDITION with reason GROUP_NOT_VIABLE when a device of the group is bound
  // to a driver of the host.
  static Result<std::shared_ptr<Group>> Create(UniqueFd group, Type1Container* container,
                                               GroupObserver* observer,
                                               Syscalls& syscalls = KernelSyscalls());
  ~Group();
  Group(const Group&) = delete;

  // Opens a device by its name: a PCI address or a mediated device's UUID; with a VF token, "ADDRESS
  // vf_token=UUID". The kernel resets the device where it can. NOT_FOUND if the group has no such device,
  // UNAVAILABLE if the kernel stays busy with it.
  Result<UniqueFd> OpenDevice(const std::string& name) const;

  int fd() const { return fd_.get(); }
  Syscalls& syscalls() const { return syscalls_; }

 private:
  Group(UniqueFd fd, Type1Container* container, GroupObserver* observer, Syscalls& syscalls)
      : fd_(std::move(fd)), container_(container), observer_(observer), syscalls_(syscalls) {}

  const UniqueFd fd_;
  Type1Container* const container_;
  GroupObserver* const observer_;
  Syscalls& syscalls_;
  bool in_container_ = false;
  bool observed_ = false;
};

}  // namespace berth::vfio
