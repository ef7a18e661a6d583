#include "tests/fakes/fake_vfio.h"

#include <linux/dma-buf.h>
#include <linux/vfio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace berth::vfio {
namespace {

uint64_t InodeOf(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

}  // namespace

UniqueFd FakeVfio::NewDescriptor(uint64_t* inode) {
  UniqueFd fd(::memfd_create("fake-vfio", MFD_CLOEXEC));
  CHECK(fd);
  *inode = InodeOf(fd.get());
  return fd;
}

UniqueFd FakeVfio::OpenContainer() {
  uint64_t inode;
  UniqueFd fd = NewDescriptor(&inode);
  containers_.insert(inode);
  return fd;
}

UniqueFd FakeVfio::OpenGroup(const std::string& group) {
  uint64_t inode;
  UniqueFd fd = NewDescriptor(&inode);
  open_groups_[inode] = &groups_[group];
  return fd;
}

FakeVfioDevice& FakeVfio::AddDevice(const std::string& group, const std::string& name) {
  return *(groups_[group].devices[name] = std::make_unique<FakeVfioDevice>());
}

void FakeVfio::FailCall(unsigned long request, int nth, int errno_value) {
  failures_.emplace(request, std::pair(nth, errno_value));
}

int FakeVfio::Count(unsigned long request) const {
  return static_cast<int>(std::count(calls_.begin(), calls_.end(), request));
}

int FakeVfio::Failure(unsigned long request) {
  calls_.push_back(request);
  auto [first, last] = failures_.equal_range(request);
  int error = 0;
  for (auto it = first; it != last;) {
    if (--it->second.first == 0) {
      error = it->second.second;
      it = failures_.erase(it);
    } else {
      ++it;
    }
  }
  return error;
}

FakeVfioDevice* FakeVfio::Device(int fd) {
  const auto found = open_devices_.find(InodeOf(fd));
  return found == open_devices_.end() ? nullptr : found->second.device;
}

int FakeVfio::Ioctl(int fd, unsigned long request, uintptr_t argument) {
  const std::lock_guard lock(mutex_);
  if (const int error = Failure(request)) return -error;
  const uint64_t inode = InodeOf(fd);
  if (containers_.contains(inode)) return ContainerIoctl(request, argument);
  if (open_groups_.contains(inode)) return GroupIoctl(*open_groups_[inode], request, argument);
  if (FakeVfioDevice* device = Device(fd))
    return device->Ioctl(request, reinterpret_cast<uint8_t*>(argument));
  return request == DMA_BUF_IOCTL_SYNC ? 0 : -EBADF;
}

int FakeVfio::ContainerIoctl(unsigned long request, uintptr_t argument) {
  const auto has_group = [](const auto& entry) { return entry.second.in_container; };
  switch (request) {
    case VFIO_GET_API_VERSION:
      return api_version;
    case VFIO_CHECK_EXTENSION:
      return argument == VFIO_TYPE1v2_IOMMU && type1v2;
    case VFIO_SET_IOMMU:
      if (iommu_enabled || std::none_of(groups_.begin(), groups_.end(), has_group)) return -EINVAL;
      iommu_enabled = true;
      return 0;
  }
  if (!iommu_enabled) return -EINVAL;
  switch (request) {
    case VFIO_IOMMU_GET_INFO:
      return IommuInfo(reinterpret_cast<uint8_t*>(argument));
    case VFIO_IOMMU_MAP_DMA:
      return MapDma(reinterpret_cast<void*>(argument));
    case VFIO_IOMMU_UNMAP_DMA:
      return UnmapDma(reinterpret_cast<void*>(argument));
  }
  return -ENOTTY;
}

int FakeVfio::MapDma(void* argument) {
  vfio_iommu_type1_dma_map map;
  std::memcpy(&map, argument, sizeof(map));
  const uint64_t page = page_sizes & -page_sizes;
  if (map.argsz < sizeof(map) || map.size == 0 || !IsAligned(map.iova | map.size | map.vaddr, page))
    return -EINVAL;
  const Range wanted{map.iova, map.size};
  uint64_t mapped = map.size;
  for (const auto& [iova, mapping] : mappings) {
    if (wanted.Overlaps({iova, mapping.size})) return -EEXIST;
    mapped += mapping.size;
  }
  if (mappings.size() >= max_mappings) return -ENOSPC;
  const auto holds = [&](const Range& range) { return range.Contains(wanted.start, wanted.size); };
  if (!valid_ranges.empty() && std::none_of(valid_ranges.begin(), valid_ranges.end(), holds)) return -EINVAL;
  if (mapped > memlock_bytes) return -ENOMEM;
  mappings[map.iova] = {map.vaddr, map.size, map.flags};
  return 0;
}

int FakeVfio::UnmapDma(void* argument) {
  vfio_iommu_type1_dma_unmap unmap;
  std::memcpy(&unmap, argument, sizeof(unmap));
  const Range wanted{unmap.iova, unmap.size};
  uint64_t undone = 0;
  for (auto it = mappings.begin(); it != mappings.end();) {
    if (!wanted.Overlaps({it->first, it->second.size})) {
      ++it;
      continue;
    }
    // A mapping cannot be cut in two.
    if (!wanted.Contains(it->first, it->second.size)) return -EINVAL;
    undone += it->second.size;
    it = mappings.erase(it);
  }
  unmap.size = undone;
  std::memcpy(argument, &unmap, sizeof(unmap));
  return 0;
}

int FakeVfio::IommuInfo(uint8_t* argument) {
  vfio_iommu_type1_info info;
  std::memcpy(&info, argument, sizeof(info));
  const uint32_t room = info.argsz;
  if (room < 16) return -EINVAL;
  info = {.argsz = room, .flags = VFIO_IOMMU_INFO_PGSIZES, .iova_pgsizes = page_sizes, .cap_offset = 0};
  std::vector<uint8_t> caps;
  if (info_capabilities) {
    vfio_iommu_type1_info_dma_avail available{};
    available.header = {VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, 0};
    available.avail = max_mappings - static_cast<uint32_t>(mappings.size());
    vfio_iommu_type1_info_cap_iova_range head{};
    const auto second = static_cast<uint32_t>(sizeof(info) + sizeof(available));
    if (!valid_ranges.empty()) available.header.next = second;
    head.header = {VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, looping_capabilities ? second : 0};
    head.nr_iovas = static_cast<uint32_t>(valid_ranges.size());
    auto append = [&caps](const void* bytes, size_t size) {
      const auto* from = static_cast<const uint8_t*>(bytes);
      caps.insert(caps.end(), from, from + size);
    };
    append(&available, sizeof(available));
    if (!valid_ranges.empty()) append(&head, sizeof(head));
    for (const Range& range : valid_ranges) {
      const vfio_iova_range entry{range.start, range.end() - 1};
      append(&entry, sizeof(entry));
    }
    info.flags |= VFIO_IOMMU_INFO_CAPS;
    if (room < sizeof(info) + caps.size()) {
      info.argsz = static_cast<uint32_t>(sizeof(info) + caps.size());
      caps.clear();
    } else {
      info.cap_offset = sizeof(info);
    }
  }
  std::memcpy(argument, &info, std::min<size_t>(room, sizeof(info)));
  if (!caps.empty()) std::memcpy(argument + sizeof(info), caps.data(), caps.size());
  return 0;
}

int FakeVfio::GroupIoctl(Group& group, unsigned long request, uintptr_t argument) {
  switch (request) {
    case VFIO_GROUP_GET_STATUS: {
      auto* status = reinterpret_cast<vfio_group_status*>(argument);
      // A flag that no one knows yet is set, too: flags are bits, not values.
      status->flags = 1u << 31 | (group.viable ? VFIO_GROUP_FLAGS_VIABLE : 0) |
                      (group.in_container ? VFIO_GROUP_FLAGS_CONTAINER_SET : 0);
      return 0;
    }
    case VFIO_GROUP_SET_CONTAINER:
      if (!containers_.contains(InodeOf(*reinterpret_cast<const int*>(argument)))) return -EBADF;
      if (group.in_container) return -EINVAL;
      if (!group.viable) return -EPERM;
      group.in_container = true;
      return 0;
    case VFIO_GROUP_UNSET_CONTAINER: {
      if (!group.in_container) return -EINVAL;
      for (const auto& [inode, open] : open_devices_) {
        if (open.group == &group && InodeOf(open.fd) == inode) return -EBUSY;
      }
      group.in_container = false;
      const auto has_group = [](const auto& entry) { return entry.second.in_container; };
      if (std::none_of(groups_.begin(), groups_.end(), has_group)) {
        iommu_enabled = false;
        mappings.clear();
      }
      return 0;
    }
    case VFIO_GROUP_GET_DEVICE_FD:
      return OpenDeviceIn(group, reinterpret_cast<const char*>(argument));
  }
  return -ENOTTY;
}

int FakeVfio::OpenDeviceIn(Group& group, const char* name) {
  if (!group.in_container || !iommu_enabled) return -EINVAL;
  const auto found = group.devices.find(name);
  if (found == group.devices.end()) return -ENODEV;
  if (group.busy_opens > 0) {
    --group.busy_opens;
    return -EAGAIN;
  }
  uint64_t inode;
  const int fd = NewDescriptor(&inode).Release();
  open_devices_[inode] = {fd, found->second.get(), &group};
  return fd;
}

int64_t FakeVfio::Pread(int fd, void* out, size_t size_bytes, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  if (const int error = Failure(kPread)) return -error;
  FakeVfioDevice* device = Device(fd);
  if (device == nullptr) return -EBADF;
  return device->Read(static_cast<uint8_t*>(out), short_reads ? size_bytes / 2 : size_bytes, offset);
}

int64_t FakeVfio::Pwrite(int fd, const void* bytes, size_t size_bytes, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  if (const int error = Failure(kPwrite)) return -error;
  FakeVfioDevice* device = Device(fd);
  return device == nullptr ? -EBADF : device->Write(static_cast<const uint8_t*>(bytes), size_bytes, offset);
}

intptr_t FakeVfio::Map(int fd, uint64_t offset, size_t size_bytes, bool writable, size_t) {
  const std::lock_guard lock(mutex_);
  if (const int error = Failure(kMap)) return -error;
  if (FakeVfioDevice* device = Device(fd)) return device->Map(offset, size_bytes, writable);
  // A DMA buffer.
  void* address = ::mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(offset));
  return address == MAP_FAILED ? -errno : reinterpret_cast<intptr_t>(address);
}

void FakeVfio::Unmap(void* address, size_t size_bytes) { ::munmap(address, size_bytes); }

}  // namespace berth::vfio
