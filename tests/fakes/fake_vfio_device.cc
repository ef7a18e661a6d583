#include "tests/fakes/fake_vfio_device.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace berth::vfio {
namespace {

constexpr uint64_t kPage = 4 * kKiB;
constexpr unsigned kConfig = VFIO_PCI_CONFIG_REGION_INDEX;

}  // namespace

FakeVfioDevice::FakeVfioDevice() : config(4096), config_writable(4096) {
  SetConfig<uint16_t>(PCI_VENDOR_ID, 0x1b36);
  SetConfig<uint16_t>(PCI_DEVICE_ID, 0x0005);
  SetConfig<uint32_t>(PCI_CLASS_REVISION, 0x00ff0001);
  StoreLe<uint16_t>(&config_writable[PCI_COMMAND], 0x0547);
  config_writable[PCI_CACHE_LINE_SIZE] = config_writable[PCI_INTERRUPT_LINE] = 0xff;
  irqs[VFIO_PCI_REQ_IRQ_INDEX] = {1, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, {}};
}

FakeVfioDevice::~FakeVfioDevice() {
  for (Region& region : regions_) {
    if (region.bytes != nullptr) ::munmap(region.bytes, AlignUp(region.size, kPage));
  }
}

uint16_t FakeVfioDevice::AddCapability(uint16_t offset, uint8_t id, const std::vector<uint8_t>& body) {
  config[last_capability_ == 0 ? PCI_CAPABILITY_LIST : last_capability_ + 1] = static_cast<uint8_t>(offset);
  SetConfig<uint16_t>(PCI_STATUS, Config<uint16_t>(PCI_STATUS) | PCI_STATUS_CAP_LIST);
  config[offset] = id;
  config[offset + 1] = 0;
  std::copy(body.begin(), body.end(), config.begin() + offset + 2);
  return last_capability_ = offset;
}

uint16_t FakeVfioDevice::AddExtendedCapability(uint16_t offset, uint16_t id,
                                               const std::vector<uint8_t>& body) {
  if (last_extended_ != 0) {
    SetConfig<uint32_t>(last_extended_, Config<uint32_t>(last_extended_) | uint32_t{offset} << 20);
  }
  SetConfig<uint32_t>(offset, uint32_t{id} | 1u << 16);
  std::copy(body.begin(), body.end(), config.begin() + offset + 4);
  return last_extended_ = offset;
}

void FakeVfioDevice::AddExpress(uint16_t offset, uint8_t type) {
  AddCapability(offset, PCI_CAP_ID_EXP, std::vector<uint8_t>(58));
  SetConfig<uint16_t>(offset + PCI_EXP_FLAGS, static_cast<uint16_t>(2 | type << 4));
  SetConfig<uint32_t>(offset + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR);
  SetConfig<uint32_t>(offset + PCI_EXP_LNKCAP, 0x00000043);  // x4, 8 GT/s
  SetConfig<uint16_t>(offset + PCI_EXP_LNKSTA, 0x0043);
  StoreLe<uint16_t>(&config_writable[offset + PCI_EXP_DEVCTL], 0xffff);
}

void FakeVfioDevice::AddMsix(uint16_t offset, unsigned vectors, unsigned bar, uint32_t table, uint32_t pba) {
  AddCapability(offset, PCI_CAP_ID_MSIX, std::vector<uint8_t>(10));
  SetConfig<uint16_t>(offset + PCI_MSIX_FLAGS, static_cast<uint16_t>(vectors - 1));
  SetConfig<uint32_t>(offset + PCI_MSIX_TABLE, table | bar);
  SetConfig<uint32_t>(offset + PCI_MSIX_PBA, pba | bar);
  irqs[VFIO_PCI_MSIX_IRQ_INDEX] = {vectors, VFIO_IRQ_INFO_EVENTFD, {}};
}

FakeVfioDevice::Region& FakeVfioDevice::AddRegion(unsigned index, uint64_t size, uint32_t flags) {
  Region& region = regions_[index];
  region.size = size;
  region.flags = flags;
  region.memory.Reset(::memfd_create("fake-bar", MFD_CLOEXEC));
  const uint64_t pages = AlignUp(size, kPage);
  CHECK(::ftruncate(region.memory.get(), static_cast<off_t>(pages)) == 0);
  void* address = ::mmap(nullptr, pages, PROT_READ | PROT_WRITE, MAP_SHARED, region.memory.get(), 0);
  CHECK(address != MAP_FAILED);
  region.bytes = static_cast<uint8_t*>(address);
  region_count_ = std::max(region_count_, index + 1);
  return region;
}

FakeVfioDevice::Region& FakeVfioDevice::AddBar(unsigned index, uint64_t size, uint32_t kind_bits,
                                               bool mappable) {
  if (index < 6) SetConfig<uint32_t>(static_cast<uint16_t>(PCI_BASE_ADDRESS_0 + 4 * index), kind_bits);
  return AddRegion(
      index, size,
      VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | (mappable ? VFIO_REGION_INFO_FLAG_MMAP : 0));
}

int FakeVfioDevice::Ioctl(unsigned long request, uint8_t* argument) {
  switch (request) {
    case VFIO_DEVICE_GET_INFO: {
      vfio_device_info info{};
      info.argsz = sizeof(info);
      info.flags = (is_pci ? VFIO_DEVICE_FLAGS_PCI : VFIO_DEVICE_FLAGS_CCW) |
                   (resettable ? VFIO_DEVICE_FLAGS_RESET : 0);
      info.num_regions = region_count_;
      info.num_irqs = kIrqIndices;
      std::memcpy(argument, &info, sizeof(info));
      return 0;
    }
    case VFIO_DEVICE_GET_REGION_INFO:
      return RegionInfoIoctl(argument);
    case VFIO_DEVICE_GET_IRQ_INFO:
      return IrqInfoIoctl(argument);
    case VFIO_DEVICE_SET_IRQS:
      return SetIrqs(argument);
    case VFIO_DEVICE_RESET:
      if (!resettable) return -EINVAL;
      if (reset_errno != 0) return -reset_errno;
      ++resets;
      dead_reads_ = dead_after_reset;
      return 0;
    case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
      return HotResetInfo(argument);
    case VFIO_DEVICE_QUERY_GFX_PLANE:
      return QueryPlane(argument);
    case VFIO_DEVICE_GET_GFX_DMABUF: {
      uint32_t id;
      std::memcpy(&id, argument, sizeof(id));
      if (!display || !display->buffer || id != display->plane.dmabuf_id) return -EINVAL;
      return ::fcntl(display->buffer.get(), F_DUPFD_CLOEXEC, 0);
    }
    case VFIO_DEVICE_PCI_HOT_RESET:
      vfio_pci_hot_reset reset;
      std::memcpy(&reset, argument, sizeof(reset));
      hot_reset_groups = reset.count;
      ++hot_resets;
      dead_reads_ = dead_after_reset;
      return 0;
  }
  return -ENOTTY;
}

int FakeVfioDevice::QueryPlane(uint8_t* argument) {
  vfio_device_gfx_plane_info plane;
  std::memcpy(&plane, argument, sizeof(plane));
  if (!display || plane.argsz < sizeof(plane)) return -EINVAL;
  const uint32_t type = display->buffer ? VFIO_GFX_PLANE_TYPE_DMABUF : VFIO_GFX_PLANE_TYPE_REGION;
  if (plane.flags == (VFIO_GFX_PLANE_TYPE_PROBE | type)) return 0;
  if (plane.flags != type) return -EINVAL;
  plane = display->plane;
  plane.argsz = sizeof(plane);
  plane.flags = type;
  std::memcpy(argument, &plane, sizeof(plane));
  return 0;
}

int FakeVfioDevice::RegionInfoIoctl(uint8_t* argument) {
  vfio_region_info info;
  std::memcpy(&info, argument, sizeof(info));
  if (info.index >= region_count_ || info.index == VFIO_PCI_VGA_REGION_INDEX) return -EINVAL;
  const uint32_t room = info.argsz;
  const Region& region = regions_[info.index];
  info.flags = region.flags;
  info.size = region.size;
  info.offset = FileOffset(info.index);
  info.cap_offset = 0;
  if (info.index == kConfig) {
    info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    info.size = config.size();
  }
  // Each capability with its data; the links are made below.
  std::vector<std::vector<uint8_t>> caps;
  auto add = [&caps](uint16_t id) -> std::vector<uint8_t>& {
    const vfio_info_cap_header header{id, 1, 0};
    const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
    return caps.emplace_back(bytes, bytes + sizeof(header));
  };
  auto put = [](std::vector<uint8_t>& cap, auto value) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
    cap.insert(cap.end(), bytes, bytes + sizeof(value));
  };
  if (region.msix_mappable) add(VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
  if (!region.sparse.empty()) {
    auto& cap = add(VFIO_REGION_INFO_CAP_SPARSE_MMAP);
    put(cap, static_cast<uint32_t>(region.sparse.size()));
    put(cap, uint32_t{0});
    for (const Range& area : region.sparse) {
      put(cap, area.start);
      put(cap, area.size);
    }
  }
  if (region.type) {
    auto& cap = add(VFIO_REGION_INFO_CAP_TYPE);
    put(cap, region.type->type);
    put(cap, region.type->subtype);
  }
  std::vector<uint8_t> chain;
  for (size_t i = 0; i < caps.size(); ++i) {
    const auto next = static_cast<uint32_t>(sizeof(info) + chain.size() + caps[i].size());
    if (i + 1 < caps.size()) StoreLe<uint32_t>(&caps[i][4], next);
    chain.insert(chain.end(), caps[i].begin(), caps[i].end());
  }
  if (!chain.empty()) {
    info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
    if (room < sizeof(info) + chain.size()) {
      info.argsz = static_cast<uint32_t>(sizeof(info) + chain.size());
      chain.clear();
    } else {
      info.cap_offset = sizeof(info);
    }
  }
  std::memcpy(argument, &info, sizeof(info));
  if (!chain.empty()) std::memcpy(argument + sizeof(info), chain.data(), chain.size());
  return 0;
}

int FakeVfioDevice::HotResetInfo(uint8_t* argument) {
  if (dependents.empty()) return -ENODEV;
  vfio_pci_hot_reset_info info;
  std::memcpy(&info, argument, sizeof(info));
  info.count = static_cast<uint32_t>(dependents.size());
  const bool fits = info.argsz >= sizeof(info) + info.count * sizeof(vfio_pci_dependent_device);
  std::memcpy(argument, &info, sizeof(info));
  if (!fits) return -ENOSPC;
  for (size_t i = 0; i < dependents.size(); ++i) {
    vfio_pci_dependent_device entry{};
    entry.group_id = dependents[i].group;
    entry.segment = dependents[i].segment;
    entry.bus = dependents[i].bus;
    entry.devfn = dependents[i].devfn;
    std::memcpy(argument + sizeof(info) + i * sizeof(entry), &entry, sizeof(entry));
  }
  return 0;
}

bool FakeVfioDevice::Decodes(unsigned index) const {
  if (!check_decode || index > VFIO_PCI_ROM_REGION_INDEX) return true;
  const uint16_t command = Config<uint16_t>(PCI_COMMAND);
  const bool io = index < 6 && (config[PCI_BASE_ADDRESS_0 + 4 * index] & PCI_BASE_ADDRESS_SPACE_IO);
  return command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
}

int64_t FakeVfioDevice::Read(uint8_t* out, size_t size, uint64_t offset) {
  const auto index = static_cast<unsigned>(offset >> 40);
  const uint64_t at = offset & (FileOffset(1) - 1);
  if (index == kConfig) {
    if (at + size > config.size()) return -EFAULT;
    std::memcpy(out, &config[at], size);
    if (dead_reads_ > 0) {
      --dead_reads_;
      std::memset(out, 0xff, size);
    }
    return static_cast<int64_t>(size);
  }
  if (index >= regions_.size() || at >= regions_[index].size) return -EINVAL;
  if (!Decodes(index)) return -EIO;
  size = std::min<uint64_t>(size, regions_[index].size - at);
  std::memcpy(out, regions_[index].bytes + at, size);
  return static_cast<int64_t>(size);
}

int64_t FakeVfioDevice::Write(const uint8_t* bytes, size_t size, uint64_t offset) {
  const auto index = static_cast<unsigned>(offset >> 40);
  const uint64_t at = offset & (FileOffset(1) - 1);
  if (index == kConfig) {
    if (at + size > config.size()) return -EFAULT;
    if (size <= 4)
      config_writes.push_back(
          {at, LoadLeSized(bytes, static_cast<unsigned>(size)), static_cast<unsigned>(size)});
    for (size_t i = 0; i < size; ++i) {
      const uint8_t mask = config_writable[at + i];
      config[at + i] = static_cast<uint8_t>((config[at + i] & ~mask) | (bytes[i] & mask));
    }
    return static_cast<int64_t>(size);
  }
  if (index >= regions_.size() || at >= regions_[index].size) return -EINVAL;
  if (!Decodes(index)) return -EIO;
  size = std::min<uint64_t>(size, regions_[index].size - at);
  std::memcpy(regions_[index].bytes + at, bytes, size);
  return static_cast<int64_t>(size);
}

intptr_t FakeVfioDevice::Map(uint64_t offset, size_t size, bool writable) {
  const auto index = static_cast<unsigned>(offset >> 40);
  const Range wanted{offset & (FileOffset(1) - 1), size};
  if (index >= regions_.size() || !(regions_[index].flags & VFIO_REGION_INFO_FLAG_MMAP)) return -EINVAL;
  const Region& region = regions_[index];
  if (!IsAligned(wanted.start, kPage) || !Range{0, AlignUp(region.size, kPage)}.Contains(wanted.start, size))
    return -EINVAL;
  if (region.exact_maps &&
      std::find(region.sparse.begin(), region.sparse.end(), wanted) == region.sparse.end()) {
    return -EINVAL;
  }
  void* address = ::mmap(nullptr, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED,
                         region.memory.get(), static_cast<off_t>(wanted.start));
  return address == MAP_FAILED ? -errno : reinterpret_cast<intptr_t>(address);
}

}  // namespace berth::vfio
