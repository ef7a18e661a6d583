#include "vfio/bind/open.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "host/pci.h"
#include "host/sysfs.h"

namespace berth::vfio {
namespace {

constexpr size_t kMaxProcessesSearched = 65536;

Result<int> GroupAt(const std::string& directory, const std::string& name) {
  const host::SysfsDirectory device(directory + "/" + name);
  if (!device.exists()) {
    return Fail(Error(Code::kNotFound, fmt::format("the host has no device {}", name))
                    .Reason("DEVICE_NOT_FOUND")
                    .With("device", name));
  }
  const auto group = host::ParseNumber(device.LinkName("iommu_group").value_or(""));
  if (!group || *group < 0 || *group > INT32_MAX) {
    return Fail(Error(Code::kFailedPrecondition, fmt::format("{} has no IOMMU group", name))
                    .Reason("NO_IOMMU_GROUP")
                    .With("device", name));
  }
  return static_cast<int>(*group);
}

// "berth-vmm (process 4711)" for a process that has `path` open; empty if none can be found.
std::string HolderOf(const host::HostRoots& roots, const std::string& path) {
  const host::SysfsDirectory processes(roots.proc);
  size_t searched = 0;
  for (const std::string& name : processes.Names()) {
    if (!host::ParseNumber(name)) continue;
    if (++searched > kMaxProcessesSearched) break;
    const host::SysfsDirectory process = processes.Enter(name);
    const host::SysfsDirectory files = process.Enter("fd");
    for (const std::string& file : files.Names()) {
      if (files.Link(file) != path) continue;
      return fmt::format("{} (process {})", process.Text("comm").value_or("a process"), name);
    }
  }
  return {};
}

Error GroupBusy(const host::HostRoots& roots, int group, const std::string& path) {
  const std::string holder = HolderOf(roots, path);
  return Error(Code::kFailedPrecondition, fmt::format("IOMMU group {} is in use by {}", group,
                                                      holder.empty() ? "another process" : holder))
      .Reason("GROUP_BUSY")
      .With("group", std::to_string(group))
      .With("holder", holder);
}

}  // namespace

Result<int> GroupOf(const host::HostRoots& roots, const host::PciAddress& address) {
  return GroupAt(roots.sys + "/bus/pci/devices", address.ToString());
}

Result<int> GroupOf(const host::HostRoots& roots, const std::string& mdev_uuid) {
  return GroupAt(roots.sys + "/bus/mdev/devices", mdev_uuid);
}

Result<UniqueFd> OpenContainer(const host::HostRoots& roots) {
  const std::string path = roots.dev + "/vfio/vfio";
  const auto fail = [&](const std::string& cause) {
    return Fail(Error(Code::kFailedPrecondition, fmt::format("VFIO is not available: {}", cause))
                    .Reason("VFIO_NOT_AVAILABLE")
                    .With("path", path));
  };
  UniqueFd container(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!container) {
    return fail(fmt::format("{}: {}{}", path, std::strerror(errno),
                            errno == ENOENT || errno == ENODEV ? " (modprobe vfio-pci)" : ""));
  }
  if (const int version = ::ioctl(container.get(), VFIO_GET_API_VERSION); version != VFIO_API_VERSION) {
    return fail(fmt::format("{} answers with version {}, not {}", path, version, VFIO_API_VERSION));
  }
  return container;
}

Result<UniqueFd> OpenGroup(const host::HostRoots& roots, int group) {
  const std::string path = fmt::format("{}/vfio/{}", roots.dev, group);
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file) {
    const int error = errno;
    if (error == EBUSY) return Fail(GroupBusy(roots, group, path));
    if (error != ENOENT) return FailErrno(error, "open IOMMU group {} at {}", group, path);
    return Fail(
        Error(Code::kFailedPrecondition,
              fmt::format("IOMMU group {} has no device on a VFIO driver: there is no {}", group, path))
            .Reason("GROUP_HAS_NO_VFIO_DEVICE")
            .With("group", std::to_string(group)));
  }
  vfio_group_status status{.argsz = sizeof(status), .flags = 0};
  if (::ioctl(file.get(), VFIO_GROUP_GET_STATUS, &status) != 0) {
    return FailErrno(errno, "ask for the status of IOMMU group {} at {}", group, path);
  }
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
    return Fail(
        Error(Code::kFailedPrecondition,
              fmt::format("IOMMU group {} cannot be used: the host's drivers have devices in it", group))
            .Reason("IOMMU_GROUP_NOT_VIABLE")
            .With("group", std::to_string(group)));
  }
  if ((status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET) != 0) return Fail(GroupBusy(roots, group, path));
  return file;
}

}  // namespace berth::vfio
