#include "vfio/type1_container.h"

#include <linux/vfio.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "vfio/dma_failure.h"
#include "vfio/info_chain.h"
#include "vfio/trace.h"

namespace berth::vfio {
namespace {

// The array behind struct vfio_iommu_type1_info_cap_iova_range, as far as it is there. Ranges that no kernel
// would give are dropped.
std::vector<Range> IovaRanges(std::span<const uint8_t> capability) {
  vfio_iommu_type1_info_cap_iova_range head;
  if (capability.size() < sizeof(head)) return {};
  std::memcpy(&head, capability.data(), sizeof(head));
  const auto entries = capability.subspan(sizeof(head));
  const size_t count = std::min<size_t>(head.nr_iovas, entries.size() / sizeof(vfio_iova_range));
  std::vector<Range> ranges;
  for (size_t i = 0; i < count; ++i) {
    vfio_iova_range entry;  // `end` is the last address.
    std::memcpy(&entry, &entries[i * sizeof(entry)], sizeof(entry));
    if (entry.end < entry.start) continue;
    // A range to the very top loses its last page, so that its end is a number.
    const uint64_t last = std::min<uint64_t>(entry.end, ~uint64_t{0} - 4 * kKiB);
    if (last < entry.start) continue;
    ranges.push_back({entry.start, last - entry.start + 1});
  }
  return ranges;
}

uint64_t MemlockLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return ~uint64_t{0};
  return limit.rlim_cur;
}

}  // namespace

Result<std::unique_ptr<Type1Container>> Type1Container::Create(UniqueFd container, Syscalls& syscalls) {
  const int version = syscalls.Ioctl(container.get(), VFIO_GET_API_VERSION, 0);
  if (version < 0) return FailErrno(-version, "ask the VFIO container for its version");
  if (version != VFIO_API_VERSION) {
    return Fail(Code::kUnimplemented, "the kernel speaks version {} of VFIO, not {}", version,
                VFIO_API_VERSION);
  }
  if (syscalls.Ioctl(container.get(), VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0) {
    return Fail(Error(Code::kUnimplemented,
                      "the kernel's VFIO has no type1 (version 2) IOMMU support: is the module "
                      "vfio_iommu_type1 loaded?")
                    .Reason("VFIO_TYPE1_MISSING"));
  }
  return std::unique_ptr<Type1Container>(new Type1Container(std::move(container), syscalls));
}

Status Type1Container::AddGroup(int group_fd) {
  MutexLock lock(mutex_);
  int container_fd = fd_.get();
  if (const int error = vfio::Ioctl(syscalls_, group_fd, VFIO_GROUP_SET_CONTAINER, &container_fd);
      error < 0) {
    // With a first group in it, a container takes only groups whose IOMMU can hold its mappings.
    if (error == -EINVAL && !groups_.empty()) {
      return Fail(
          Error(Code::kFailedPrecondition,
                "the group's IOMMU does not fit the other assigned devices': it cannot map all of the "
                "guest's addresses that are mapped for them")
              .Reason("IOMMU_INCOMPATIBLE"));
    }
    return FailErrno(-error, "put the group into the VFIO container");
  }
  groups_.push_back(group_fd);
  if (groups_.size() > 1) return Ok();
  Status ready = EnableIommu();
  if (!ready) Leave(group_fd);
  return ready;
}

Status Type1Container::EnableIommu() {
  if (const int error = syscalls_.Ioctl(fd_.get(), VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU); error < 0) {
    if (error == -EPERM) {
      return Fail(Error(Code::kFailedPrecondition,
                        "the host's IOMMU does not remap interrupts, so a device could forge any; the module "
                        "vfio_iommu_type1's allow_unsafe_interrupts overrides this")
                      .Reason("INTERRUPT_REMAPPING_MISSING"));
    }
    if (error == -ENODEV) {
      return Fail(Error(Code::kFailedPrecondition, "the device is behind no IOMMU that could confine its DMA")
                      .Reason("NO_IOMMU"));
    }
    return FailErrno(-error, "give the VFIO container a type1 IOMMU");
  }
  for (auto& [iova, entry] : entries_) {
    Status mapped = MapNow(&entry);
    if (mapped) continue;
    if (!entry.mapping.device_memory) return mapped;
    LOG_WARNING("no peer-to-peer DMA: {}", mapped.error().message());
  }
  return Ok();
}

void Type1Container::RemoveGroup(int group_fd) {
  MutexLock lock(mutex_);
  Leave(group_fd);
}

void Type1Container::Leave(int group_fd) {
  if (std::erase(groups_, group_fd) == 0) return;
  if (const int error = syscalls_.Ioctl(group_fd, VFIO_GROUP_UNSET_CONTAINER, 0); error < 0) {
    LOG_ERROR("{}", SystemError(-error, "take a group out of the VFIO container").message());
  }
  if (!groups_.empty()) return;
  for (auto& [iova, entry] : entries_) entry.live = false;
  pinned_bytes_ = 0;
}

Status Type1Container::Map(const DmaMapping& mapping) {
  MutexLock lock(mutex_);
  const auto [found, added] = entries_.try_emplace(mapping.iova, Entry{.mapping = mapping});
  if (!added) return Fail(Code::kInternal, "{:#x} is mapped for DMA already", mapping.iova);
  if (groups_.empty()) return Ok();
  Status mapped = MapNow(&found->second);
  if (!mapped) entries_.erase(found);
  return mapped;
}

Status Type1Container::Unmap(Range range) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(range.start);
  if (found == entries_.end() || found->second.mapping.size != range.size) {
    return Fail(Code::kInternal, "no DMA mapping at {:#x} of {} bytes", range.start, range.size);
  }
  const Entry entry = found->second;
  entries_.erase(found);
  if (!entry.live) return Ok();
  if (!entry.mapping.device_memory) pinned_bytes_ -= range.size;
  return UnmapNow(range);
}

Status Type1Container::MapNow(Entry* entry) {
  const DmaMapping& mapping = entry->mapping;
  vfio_iommu_type1_dma_map map{
      .argsz = sizeof(map),
      .flags = VFIO_DMA_MAP_FLAG_READ | (mapping.writable ? uint32_t{VFIO_DMA_MAP_FLAG_WRITE} : 0),
      .vaddr = reinterpret_cast<uintptr_t>(mapping.address),
      .iova = mapping.iova,
      .size = mapping.size,
  };
  const int error = vfio::Ioctl(syscalls_, fd_.get(), VFIO_IOMMU_MAP_DMA, &map);
  trace::vfio_dma_map(mapping.iova, mapping.size, mapping.writable, error);
  if (error < 0) {
    const Result<DmaLimits> limits = ReadLimits();
    return Fail(
        ExplainMapFailure(-error, mapping, limits ? &*limits : nullptr, MemlockLimit(), pinned_bytes_));
  }
  entry->live = true;
  if (!mapping.device_memory) pinned_bytes_ += mapping.size;
  return Ok();
}

Status Type1Container::UnmapNow(const Range& range) {
  vfio_iommu_type1_dma_unmap unmap{
      .argsz = sizeof(unmap), .flags = 0, .iova = range.start, .size = range.size};
  const int error = vfio::Ioctl(syscalls_, fd_.get(), VFIO_IOMMU_UNMAP_DMA, &unmap);
  trace::vfio_dma_unmap(range.start, range.size, error);
  if (error < 0) return FailErrno(-error, "unmap {:#x} ({} bytes) from DMA", range.start, range.size);
  // The kernel says how much was there.
  if (unmap.size != range.size) {
    return Fail(Code::kInternal, "unmapping {:#x} from DMA undid {} bytes of {}", range.start,
                uint64_t{unmap.size}, range.size);
  }
  return Ok();
}

Result<DmaLimits> Type1Container::Limits() const {
  MutexLock lock(mutex_);
  if (groups_.empty()) {
    return Fail(Code::kFailedPrecondition, "the VFIO container has no group, and so no IOMMU");
  }
  return ReadLimits();
}

Result<DmaLimits> Type1Container::ReadLimits() const {
  vfio_iommu_type1_info info{};
  const auto answer = TRY(QueryInfo(syscalls_, fd_.get(), VFIO_IOMMU_GET_INFO, &info, "the IOMMU's limits"));
  DmaLimits limits;
  if ((info.flags & VFIO_IOMMU_INFO_PGSIZES) && info.iova_pgsizes != 0) limits.page_sizes = info.iova_pgsizes;
  if (!(info.flags & VFIO_IOMMU_INFO_CAPS)) return limits;
  ForEachInfoCapability(answer, info.cap_offset, [&](uint16_t id, uint16_t, std::span<const uint8_t> bytes) {
    if (id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) limits.valid = IovaRanges(bytes);
    vfio_iommu_type1_info_dma_avail available;
    if (id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL && bytes.size() >= sizeof(available)) {
      std::memcpy(&available, bytes.data(), sizeof(available));
      limits.available_mappings = available.avail;
    }
  });
  return limits;
}

}  // namespace berth::vfio
