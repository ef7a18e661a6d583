#include "hw/memory/guest_memory.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace berth::hw {
namespace {

// One copy of memory that another thread may be writing: the compiler must neither read twice nor invent a
// read.
void CopyOnce(void* to, const void* from, size_t size) {
  std::memcpy(to, from, size);
  __asm__ volatile("" ::: "memory");
}

}  // namespace

std::span<uint8_t> GuestMemory::HostBytes(uint64_t address, uint64_t size) const {
  for (const RamRange& range : ranges_) {
    if (Range{range.guest_address, range.mapping.size}.Contains(address, size)) {
      return {range.mapping.address + (address - range.guest_address), size};
    }
  }
  return {};
}

bool GuestMemory::Read(uint64_t address, std::span<uint8_t> out) const {
  const std::span<uint8_t> from = HostBytes(address, out.size());
  if (from.data() == nullptr) return false;
  CopyOnce(out.data(), from.data(), out.size());
  return true;
}

bool GuestMemory::Write(uint64_t address, std::span<const uint8_t> bytes) const {
  const std::span<uint8_t> to = HostBytes(address, bytes.size());
  if (to.data() == nullptr) return false;
  CopyOnce(to.data(), bytes.data(), bytes.size());
  return true;
}

bool GuestMemory::AppendTo(const GuestBuffer& buffer, std::vector<iovec>* pieces) const {
  const size_t before = pieces->size();
  uint64_t address = buffer.address;
  uint64_t left = buffer.size;
  for (const RamRange& range : ranges_) {
    if (left == 0) return true;
    const Range here{range.guest_address, range.mapping.size};
    if (!here.Contains(address)) continue;
    const uint64_t part = std::min(left, here.end() - address);
    pieces->push_back({range.mapping.address + (address - here.start), part});
    address += part;
    left -= part;
  }
  if (left != 0) pieces->resize(before);
  return left == 0;
}

uint64_t GuestMemory::size_bytes() const {
  uint64_t size = 0;
  for (const RamRange& range : ranges_) size += range.mapping.size;
  return size;
}

}  // namespace berth::hw
