#include "tests/fakes/fake_ram.h"

#include <sys/mman.h>
#include <unistd.h>

namespace berth::hw {

FakeRam::FakeRam(std::vector<Range> ranges) : next_(ranges.front().start) {
  std::vector<RamRange> ram;
  for (const Range& range : ranges) {
    UniqueFd fd(::memfd_create("ram", MFD_CLOEXEC));
    CHECK(fd && ::ftruncate(fd.get(), static_cast<off_t>(range.size)) == 0);
    auto block = RamBlock::Create(std::move(fd), range.size, {});
    CHECK(block);
    ram.push_back({range.start, (*block)->mapping()});
    blocks_.push_back(*std::move(block));
  }
  memory_ = std::make_unique<GuestMemory>(std::move(ram));
}

uint64_t FakeRam::Allocate(uint64_t size, uint64_t alignment) {
  const uint64_t address = AlignUp(next_, alignment);
  const RamRange& first = memory_->ranges().front();
  CHECK((Range{first.guest_address, first.mapping.size}.Contains(address, size)));
  next_ = address + size;
  return address;
}

uint64_t FakeRam::AllocateWith(std::span<const uint8_t> bytes, uint64_t alignment) {
  const uint64_t address = Allocate(bytes.size(), alignment);
  std::memcpy(At(address, bytes.size()), bytes.data(), bytes.size());
  return address;
}

uint8_t* FakeRam::At(uint64_t address, uint64_t size) {
  const std::span<uint8_t> bytes = memory_->HostBytes(address, size);
  CHECK(bytes.data() != nullptr);
  return bytes.data();
}

}  // namespace berth::hw
