#include "vfio/device_region.h"

#include <algorithm>
#include <bit>

#include "vfio/trace.h"

namespace berth::vfio {
namespace {

constexpr uint64_t kPage = 4 * kKiB;

// Where the kernel can map a device's memory in huge pages, the address here and the one there have to be
// aligned alike: up to the largest page there is.
uint64_t MapAlignment(uint64_t size_bytes) {
  return size_bytes < 2 * kMiB ? kPage : std::min(std::bit_ceil(size_bytes), kGiB);
}

}  // namespace

DeviceRegion::DeviceRegion(const Device* device, RegionInfo info) : device_(device), info_(std::move(info)) {}

DeviceRegion::~DeviceRegion() {
  for (const Mapped& mapped : mapped_) device_->syscalls().Unmap(mapped.address, mapped.range.size);
}

Status DeviceRegion::Map(const std::vector<Range>& ranges) {
  for (const Range& range : ranges) {
    const Range whole{0, AlignUp(info_.size, kPage)};
    CHECK(IsAligned(range.start | range.size, kPage) && whole.Contains(range.start, range.size));
    const intptr_t address = device_->syscalls().Map(device_->fd(), info_.file_offset + range.start,
                                                     range.size, info_.writable, MapAlignment(range.size));
    if (address < 0) {
      return FailErrno(static_cast<int>(-address), "map {} of region {} of {} from {:#x} on",
                       HumanSize(range.size), info_.index, device_->name(), range.start);
    }
    mapped_.push_back({range, reinterpret_cast<uint8_t*>(address)});
  }
  return Ok();
}

uint64_t DeviceRegion::Read(uint64_t offset, unsigned size) {
  uint8_t bytes[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  reads_.fetch_add(1, std::memory_order_relaxed);
  ReadBytes(offset, {bytes, size});
  const uint64_t value = LoadLeSized(bytes, size);
  trace::vfio_region_read(device_->name(), info_.index, offset, size, value);
  if (on_access_) on_access_();
  return value;
}

size_t DeviceRegion::ReadBytes(uint64_t offset, std::span<uint8_t> out) {
  if (offset < info_.size) {
    const size_t length = std::min<uint64_t>(out.size(), info_.size - offset);
    const int64_t read =
        device_->syscalls().Pread(device_->fd(), out.data(), length, info_.file_offset + offset);
    if (read == static_cast<int64_t>(out.size())) return out.size();
    failures_.fetch_add(1, std::memory_order_relaxed);
    return read < 0 ? 0 : std::min<uint64_t>(read, length);
  }
  failures_.fetch_add(1, std::memory_order_relaxed);
  return 0;
}

void DeviceRegion::Write(uint64_t offset, unsigned size, uint64_t value) {
  trace::vfio_region_write(device_->name(), info_.index, offset, size, value);
  writes_.fetch_add(1, std::memory_order_relaxed);
  int64_t written = -1;
  if (offset < info_.size) {
    uint8_t bytes[8];
    StoreLe<uint64_t>(bytes, value);
    const size_t length = std::min<uint64_t>(size, info_.size - offset);
    written = device_->syscalls().Pwrite(device_->fd(), bytes, length, info_.file_offset + offset);
  }
  if (written != size) failures_.fetch_add(1, std::memory_order_relaxed);
  if (on_access_) on_access_();
}

}  // namespace berth::vfio
