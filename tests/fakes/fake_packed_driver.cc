#include <atomic>

#include "hw/virtio/device.h"
#include "tests/fakes/fake_driver.h"

namespace berth::hw {
namespace {

constexpr uint16_t kNext = 1, kWrite = 2, kIndirect = 4, kAvailable = 1 << 7, kUsed = 1 << 15;
constexpr uint16_t kEnable = 0, kDisable = 1, kAtDescriptor = 2;

QueueLayout Allocate(FakeRam* ram, uint16_t size) {
  return {.size = size,
          .descriptor_area = ram->Allocate(16u * size, 16),
          .driver_area = ram->Allocate(4, 4),
          .device_area = ram->Allocate(4, 4)};
}

std::atomic_ref<uint16_t> Word(FakeRam& ram, uint64_t address) {
  return std::atomic_ref(*reinterpret_cast<uint16_t*>(ram.At(address, 2)));
}

}  // namespace

FakePackedDriver::FakePackedDriver(FakeRam* ram, uint16_t size, uint64_t features)
    : FakeDriver(ram, Allocate(ram, size), features), entries_(size) {
  // Ids in another order than the ring's, so that nobody takes one for the other.
  for (uint16_t i = 0; i < size; ++i) free_ids_.push_front(i);
}

void FakePackedDriver::SetDescriptor(uint16_t index, uint64_t address, uint32_t length, uint16_t id,
                                     uint16_t flags) {
  const uint64_t at = layout_.descriptor_area + 16u * index;
  ram_.Set<uint64_t>(at, address);
  ram_.Set<uint32_t>(at + 8, length);
  ram_.Set<uint16_t>(at + 12, id);
  Word(ram_, at + 14).store(flags, std::memory_order_release);
}

uint16_t FakePackedDriver::AvailableBits() const { return next_.wrap ? kAvailable : kUsed; }

void FakePackedDriver::Advance(Position* position, uint16_t by) const {
  position->index = static_cast<uint16_t>(position->index + by);
  if (position->index < layout_.size) return;
  position->index = static_cast<uint16_t>(position->index - layout_.size);
  position->wrap = !position->wrap;
}

uint16_t FakePackedDriver::TakeId(uint16_t entries) {
  CHECK(!free_ids_.empty());
  const uint16_t id = free_ids_.front();
  free_ids_.pop_front();
  entries_[id] = entries;
  unkicked_ += entries;
  return id;
}

uint16_t FakePackedDriver::Add(std::span<const FakeBuffer> buffers, bool indirect) {
  if (indirect) {
    const auto size_bytes = static_cast<uint32_t>(16 * buffers.size());
    const uint64_t table = ram_.Allocate(size_bytes);
    for (size_t i = 0; i < buffers.size(); ++i) {
      ram_.Set<uint64_t>(table + 16 * i, buffers[i].address);
      ram_.Set<uint32_t>(table + 16 * i + 8, buffers[i].size);
      ram_.Set<uint16_t>(table + 16 * i + 14, buffers[i].writable ? kWrite : 0);
    }
    const uint16_t id = free_ids_.front();
    AddTable(table, size_bytes);
    return id;
  }
  const auto count = static_cast<uint16_t>(buffers.size());
  CHECK(count != 0 && count <= layout_.size);
  const uint16_t id = TakeId(count);
  // The first descriptor's flags make the list available: they come last.
  const Position first = next_;
  uint16_t first_flags = 0;
  for (uint16_t i = 0; i < count; ++i) {
    const auto flags = static_cast<uint16_t>((buffers[i].writable ? kWrite : 0) |
                                             (i + 1u < count ? kNext : 0) | AvailableBits());
    const uint64_t at = layout_.descriptor_area + 16u * next_.index;
    ram_.Set<uint64_t>(at, buffers[i].address);
    ram_.Set<uint32_t>(at + 8, buffers[i].size);
    ram_.Set<uint16_t>(at + 12, id);
    if (i == 0) {
      first_flags = flags;
    } else {
      ram_.Set<uint16_t>(at + 14, flags);
    }
    Advance(&next_, 1);
  }
  Word(ram_, layout_.descriptor_area + 16u * first.index + 14).store(first_flags, std::memory_order_release);
  return id;
}

void FakePackedDriver::AddTable(uint64_t address, uint32_t size_bytes) {
  const uint16_t id = TakeId(1);
  SetDescriptor(next_.index, address, size_bytes, id, kIndirect | AvailableBits());
  Advance(&next_, 1);
}

std::optional<FakeDriver::Used> FakePackedDriver::TakeUsed() {
  const uint64_t at = layout_.descriptor_area + 16u * used_.index;
  const uint16_t flags = Word(ram_, at + 14).load(std::memory_order_acquire);
  if (((flags & kAvailable) != 0) != used_.wrap || ((flags & kUsed) != 0) != used_.wrap) return std::nullopt;
  const auto id = ram_.Get<uint16_t>(at + 12);
  CHECK(id < layout_.size && entries_[id] != 0);
  Advance(&used_, entries_[id]);
  entries_[id] = 0;
  free_ids_.push_back(id);
  return Used{id, ram_.Get<uint32_t>(at + 8)};
}

bool FakePackedDriver::KickWanted() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const uint16_t added = std::exchange(unkicked_, 0);
  if (added == 0) return false;
  const uint16_t flags = Word(ram_, layout_.device_area + 2).load(std::memory_order_acquire);
  if (flags != kAtDescriptor) return flags == kEnable;
  CHECK(Has(kVirtioRingEventIdx));
  const uint16_t encoded = Word(ram_, layout_.device_area).load();
  int event = encoded & 0x7fff;
  if ((encoded >> 15 != 0) != next_.wrap) event -= layout_.size;
  return event < next_.index && event >= next_.index - added;
}

void FakePackedDriver::EnableInterrupts() {
  if (Has(kVirtioRingEventIdx)) {
    Word(ram_, layout_.driver_area).store(static_cast<uint16_t>(used_.index | used_.wrap << 15));
    Word(ram_, layout_.driver_area + 2).store(kAtDescriptor);
  } else {
    Word(ram_, layout_.driver_area + 2).store(kEnable);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void FakePackedDriver::DisableInterrupts() { Word(ram_, layout_.driver_area + 2).store(kDisable); }

}  // namespace berth::hw
