#include "vfio/group.h"

#include <linux/vfio.h>

#include <cerrno>

namespace berth::vfio {
namespace {

// While somebody on the host holds the device's lock (a reset of a neighbour, a write to sysfs), opening it
// fails with EAGAIN.
constexpr int kOpenTries = 20;
constexpr std::chrono::milliseconds kOpenPause{50};

}  // namespace

Result<std::shared_ptr<Group>> Group::Create(UniqueFd group, Type1Container* container,
                                             GroupObserver* observer, Syscalls& syscalls) {
  vfio_group_status status{.argsz = sizeof(status), .flags = 0};
  if (const int error = Ioctl(syscalls, group.get(), VFIO_GROUP_GET_STATUS, &status); error < 0) {
    return FailErrno(-error, "ask for the state of a VFIO group");
  }
  if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
    return Fail(
        Error(Code::kFailedPrecondition,
              "the IOMMU group is not viable: every device of it must be bound to vfio-pci, or to no driver")
            .Reason("GROUP_NOT_VIABLE"));
  }
  if (status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET) {
    return Fail(Code::kFailedPrecondition, "the VFIO group is in a container already");
  }
  std::shared_ptr<Group> made(new Group(std::move(group), container, observer, syscalls));
  TRY(container->AddGroup(made->fd()));
  made->in_container_ = true;
  if (observer != nullptr) {
    TRY(observer->GroupAdded(made->fd()));
    made->observed_ = true;
  }
  return made;
}

Group::~Group() {
  if (observed_) observer_->GroupRemoved(fd());
  if (in_container_) container_->RemoveGroup(fd());
}

Result<UniqueFd> Group::OpenDevice(const std::string& name) const {
  int device = -EAGAIN;
  for (int i = 0; i < kOpenTries && device == -EAGAIN; ++i) {
    if (i > 0) syscalls_.Pause(kOpenPause);
    device = syscalls_.Ioctl(fd(), VFIO_GROUP_GET_DEVICE_FD, reinterpret_cast<uintptr_t>(name.c_str()));
  }
  if (device == -ENODEV) {
    return Fail(Code::kNotFound, "the VFIO group has no device {}, or its driver does not answer", name);
  }
  if (device == -EAGAIN) {
    return Fail(Code::kUnavailable, "the host is busy with device {}: it could not be opened in {} tries",
                name, kOpenTries);
  }
  if (device < 0) return FailErrno(-device, "open VFIO device {}", name);
  return UniqueFd(device);
}

}  // namespace berth::vfio
