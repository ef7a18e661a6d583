#include "vfio/device.h"

#include <linux/vfio.h>

#include <algorithm>
#include <cerrno>

#include "vfio/info_chain.h"

namespace berth::vfio {
namespace {

constexpr uint64_t kPage = 4 * kKiB;
// A slot has at most 256 functions (ARI), a bus as many.
constexpr uint32_t kMaxDependents = 256;

// The areas of a sparse-mmap capability that lie in the region and on pages, sorted and without overlaps.
std::vector<Range> SparseAreas(std::span<const uint8_t> capability, uint64_t region_size) {
  vfio_region_info_cap_sparse_mmap head;
  if (capability.size() < sizeof(head)) return {};
  std::memcpy(&head, capability.data(), sizeof(head));
  const auto entries = capability.subspan(sizeof(head));
  const size_t count = std::min<size_t>(head.nr_areas, entries.size() / sizeof(vfio_region_sparse_mmap_area));
  std::vector<Range> areas;
  for (size_t i = 0; i < count; ++i) {
    vfio_region_sparse_mmap_area area;
    std::memcpy(&area, &entries[i * sizeof(area)], sizeof(area));
    const bool inside = Range{0, region_size}.Contains(area.offset, area.size);
    if (inside && area.size != 0 && IsAligned(area.offset | area.size, kPage)) {
      areas.push_back({area.offset, area.size});
    }
  }
  std::sort(areas.begin(), areas.end(), [](const Range& a, const Range& b) { return a.start < b.start; });
  const auto overlap = [](const Range& a, const Range& b) { return a.Overlaps(b); };
  areas.erase(std::unique(areas.begin(), areas.end(), overlap), areas.end());
  return areas;
}

}  // namespace

Result<std::unique_ptr<Device>> Device::Open(std::shared_ptr<Group> group, const std::string& name) {
  UniqueFd fd = TRY(group->OpenDevice(name));
  std::unique_ptr<Device> device(new Device(std::move(group), name, std::move(fd)));
  vfio_device_info info{};
  TRY(QueryInfo(device->syscalls(), device->fd(), VFIO_DEVICE_GET_INFO, &info,
                "a VFIO device's description"));
  device->is_pci_ = info.flags & VFIO_DEVICE_FLAGS_PCI;
  device->resettable_ = info.flags & VFIO_DEVICE_FLAGS_RESET;
  device->region_count_ = info.num_regions;
  device->interrupt_count_ = info.num_irqs;
  return device;
}

Result<RegionInfo> Device::Region(uint32_t index) const {
  RegionInfo region{.index = index};
  vfio_region_info info{};
  info.index = index;
  const auto answer = QueryInfo(syscalls(), fd(), VFIO_DEVICE_GET_REGION_INFO, &info,
                                fmt::format("region {} of {}", index, name_));
  if (!answer) {
    // There is no such index; that of VGA is only there in VGA devices. Not by the number of regions that the
    // device tells: some have further ones that only a display refers to.
    if (answer.error().code() == Code::kInvalidArgument) return region;
    return Fail(answer.error());
  }
  if (info.size == 0) return region;
  if (info.offset + info.size < info.offset) {
    return Fail(Code::kInternal, "region {} of {}: {} bytes at {:#x} wrap", index, name_, uint64_t{info.size},
                uint64_t{info.offset});
  }
  region.size = info.size;
  region.file_offset = info.offset;
  region.readable = info.flags & VFIO_REGION_INFO_FLAG_READ;
  region.writable = info.flags & VFIO_REGION_INFO_FLAG_WRITE;
  bool sparse = false;
  if (info.flags & VFIO_REGION_INFO_FLAG_CAPS) {
    ForEachInfoCapability(*answer, info.cap_offset,
                          [&](uint16_t id, uint16_t, std::span<const uint8_t> bytes) {
                            vfio_region_info_cap_type type;
                            if (id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
                              sparse = true;
                              region.mappable = SparseAreas(bytes, region.size);
                            } else if (id == VFIO_REGION_INFO_CAP_MSIX_MAPPABLE) {
                              region.msix_mappable = true;
                            } else if (id == VFIO_REGION_INFO_CAP_TYPE && bytes.size() >= sizeof(type)) {
                              std::memcpy(&type, bytes.data(), sizeof(type));
                              region.type = {type.type, type.subtype};
                            }
                          });
  }
  if (!(info.flags & VFIO_REGION_INFO_FLAG_MMAP)) {
    region.mappable.clear();
  } else if (!sparse) {
    // The kernel offers less than a page only where it has kept the rest of the page free.
    region.mappable = {{0, region.size < kPage ? kPage : AlignDown(region.size, kPage)}};
  }
  return region;
}

Result<InterruptInfo> Device::Interrupts(uint32_t index) const {
  InterruptInfo interrupts;
  if (index >= interrupt_count_) return interrupts;
  vfio_irq_info info{.argsz = sizeof(info), .flags = 0, .index = index, .count = 0};
  const int error = Ioctl(syscalls(), fd(), VFIO_DEVICE_GET_IRQ_INFO, &info);
  if (error == -EINVAL) return interrupts;  // Some drivers count indices that they do not have.
  if (error < 0) return FailErrno(-error, "ask for interrupts {} of {}", index, name_);
  interrupts.count = info.count;
  interrupts.eventfd = info.flags & VFIO_IRQ_INFO_EVENTFD;
  interrupts.maskable = info.flags & VFIO_IRQ_INFO_MASKABLE;
  interrupts.automasked = info.flags & VFIO_IRQ_INFO_AUTOMASKED;
  interrupts.no_resize = info.flags & VFIO_IRQ_INFO_NORESIZE;
  return interrupts;
}

Status Device::Reset() const {
  const int error = syscalls().Ioctl(fd(), VFIO_DEVICE_RESET, 0);
  if (error < 0) return FailErrno(-error, "reset {}", name_);
  return Ok();
}

Result<std::vector<DependentDevice>> Device::HotResetDependents() const {
  uint32_t room = 1;
  for (int tries = 0; tries < 3; ++tries) {
    std::vector<uint8_t> buffer(sizeof(vfio_pci_hot_reset_info) + room * sizeof(vfio_pci_dependent_device));
    vfio_pci_hot_reset_info head{.argsz = static_cast<uint32_t>(buffer.size()), .flags = 0, .count = 0};
    std::memcpy(buffer.data(), &head, sizeof(head));
    const int error = Ioctl(syscalls(), fd(), VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, buffer.data());
    std::memcpy(&head, buffer.data(), sizeof(head));
    if (error == -ENODEV || error == -ENOTTY) {
      return Fail(Code::kUnimplemented, "neither the slot nor the bus of {} can be reset", name_);
    }
    if (error < 0 && error != -ENOSPC) return FailErrno(-error, "ask what a hot reset of {} resets", name_);
    if (head.count > kMaxDependents) {
      return Fail(Code::kInternal, "a hot reset of {} would reset {} functions", name_, uint32_t{head.count});
    }
    if (error == -ENOSPC) {
      room = std::max(head.count, room + 1);
      continue;
    }
    std::vector<DependentDevice> dependents;
    for (uint32_t i = 0; i < std::min(head.count, room); ++i) {
      vfio_pci_dependent_device entry;
      std::memcpy(&entry, &buffer[sizeof(head) + i * sizeof(entry)], sizeof(entry));
      dependents.push_back({entry.group_id, entry.segment, entry.bus, entry.devfn});
    }
    return dependents;
  }
  return Fail(Code::kUnavailable, "what a hot reset of {} resets changes all the time", name_);
}

Status Device::HotReset(std::span<const int> group_fds) const {
  vfio_pci_hot_reset head{};
  std::vector<uint8_t> buffer(sizeof(head) + group_fds.size_bytes());
  head.argsz = static_cast<uint32_t>(buffer.size());
  head.count = static_cast<uint32_t>(group_fds.size());
  std::memcpy(buffer.data(), &head, sizeof(head));
  std::memcpy(&buffer[sizeof(head)], group_fds.data(), group_fds.size_bytes());
  const int error = Ioctl(syscalls(), fd(), VFIO_DEVICE_PCI_HOT_RESET, buffer.data());
  if (error < 0) return FailErrno(-error, "reset the bus or slot of {}", name_);
  return Ok();
}

}  // namespace berth::vfio
