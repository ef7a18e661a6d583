#include "hw/vhost_user/memory_table.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace berth::hw {
namespace {

Status CheckRegion(const VhostUserMemoryRegion& region, int file) {
  const auto wraps = [&](uint64_t start) { return start + region.size < start; };
  if (region.size == 0 || wraps(region.guest_address) || wraps(region.user_address) ||
      wraps(region.mmap_offset))
    return Fail(Code::kInvalidArgument, "a memory region of {:#x} bytes at {:#x}", region.size,
                region.guest_address);
  struct stat status {};
  if (::fstat(file, &status) != 0) return FailErrno(errno, "look at a memory region's file");
  if (!S_ISREG(status.st_mode) || region.mmap_offset + region.size > static_cast<uint64_t>(status.st_size))
    return Fail(Code::kInvalidArgument, "a memory region of {:#x} bytes at {:#x} of a file of {:#x}",
                region.size, region.mmap_offset, status.st_size);
  return Ok();
}

}  // namespace

Status VhostUserMemoryTable::Add(const VhostUserMemoryRegion& region, UniqueFd file) {
  if (regions_.size() == kVhostUserMaxRegions)
    return Fail(Code::kResourceExhausted, "more than {} memory regions", kVhostUserMaxRegions);
  TRY(CheckRegion(region, file.get()));
  for (const Mapped& other : regions_) {
    if (Range{other.region.guest_address, other.region.size}.Overlaps({region.guest_address, region.size}) ||
        Range{other.region.user_address, other.region.size}.Overlaps({region.user_address, region.size})) {
      return Fail(Code::kInvalidArgument, "a memory region at {:#x} overlaps the one at {:#x}",
                  region.guest_address, other.region.guest_address);
    }
  }
  // From the file's start, for pages may be huge and the offset is not aligned to them.
  const uint64_t bytes = region.mmap_offset + region.size;
  void* const start =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.get(), 0);
  if (start == MAP_FAILED) return FailErrno(errno, "map a memory region of {:#x} bytes", region.size);
  const auto after = std::find_if(regions_.begin(), regions_.end(), [&](const Mapped& other) {
    return other.region.guest_address > region.guest_address;
  });
  regions_.insert(after, {.region = region,
                          .file = std::move(file),
                          .start = static_cast<uint8_t*>(start),
                          .mapped_bytes = bytes});
  return Ok();
}

Status VhostUserMemoryTable::Remove(const VhostUserMemoryRegion& region) {
  const auto found = std::find_if(regions_.begin(), regions_.end(), [&](const Mapped& one) {
    return one.region.guest_address == region.guest_address &&
           one.region.user_address == region.user_address && one.region.size == region.size;
  });
  if (found == regions_.end())
    return Fail(Code::kNotFound, "there is no memory region of {:#x} bytes at {:#x}", region.size,
                region.guest_address);
  ::munmap(found->start, found->mapped_bytes);
  regions_.erase(found);
  return Ok();
}

void VhostUserMemoryTable::Clear() {
  for (const Mapped& one : regions_) ::munmap(one.start, one.mapped_bytes);
  regions_.clear();
}

std::unique_ptr<GuestMemory> VhostUserMemoryTable::Build() const {
  std::vector<RamRange> ranges;
  for (const Mapped& one : regions_) {
    ranges.push_back({.guest_address = one.region.guest_address,
                      .mapping = {.address = one.start + one.region.mmap_offset,
                                  .size = one.region.size,
                                  .fd = one.file.get(),
                                  .fd_offset = one.region.mmap_offset}});
  }
  return std::make_unique<GuestMemory>(std::move(ranges));
}

std::optional<uint64_t> VhostUserMemoryTable::GuestAddressOf(uint64_t user_address) const {
  for (const Mapped& one : regions_) {
    const uint64_t offset = user_address - one.region.user_address;
    if (user_address >= one.region.user_address && offset < one.region.size)
      return one.region.guest_address + offset;
  }
  return std::nullopt;
}

}  // namespace berth::hw
