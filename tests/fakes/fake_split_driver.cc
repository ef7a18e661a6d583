#include <atomic>

#include "hw/virtio/device.h"
#include "tests/fakes/fake_driver.h"

namespace berth::hw {
namespace {

constexpr uint16_t kNext = 1, kWrite = 2, kIndirect = 4;

QueueLayout Allocate(FakeRam* ram, uint16_t size) {
  return {.size = size,
          .descriptor_area = ram->Allocate(16u * size, 16),
          .driver_area = ram->Allocate(6u + 2u * size, 2),
          .device_area = ram->Allocate(6u + 8u * size, 4)};
}

std::atomic_ref<uint16_t> Word(FakeRam& ram, uint64_t address) {
  return std::atomic_ref(*reinterpret_cast<uint16_t*>(ram.At(address, 2)));
}

}  // namespace

FakeSplitDriver::FakeSplitDriver(FakeRam* ram, uint16_t size, uint64_t features)
    : FakeDriver(ram, Allocate(ram, size), features), chains_(size) {
  for (uint16_t i = 0; i < size; ++i) free_.push_back(i);
}

void FakeSplitDriver::SetDescriptor(uint16_t index, uint64_t address, uint32_t length, uint16_t flags,
                                    uint16_t next) {
  const uint64_t at = layout_.descriptor_area + 16u * index;
  ram_.Set<uint64_t>(at, address);
  ram_.Set<uint32_t>(at + 8, length);
  ram_.Set<uint16_t>(at + 12, flags);
  ram_.Set<uint16_t>(at + 14, next);
}

void FakeSplitDriver::WriteDescriptor(uint64_t table, uint16_t index, const FakeBuffer& buffer, bool last,
                                      uint16_t next) {
  ram_.Set<uint64_t>(table + 16u * index, buffer.address);
  ram_.Set<uint32_t>(table + 16u * index + 8, buffer.size);
  ram_.Set<uint16_t>(table + 16u * index + 12, (buffer.writable ? kWrite : 0) | (last ? 0 : kNext));
  ram_.Set<uint16_t>(table + 16u * index + 14, next);
}

uint16_t FakeSplitDriver::Add(std::span<const FakeBuffer> buffers, bool indirect) {
  const size_t wanted = indirect ? 1 : buffers.size();
  CHECK(wanted != 0 && free_.size() >= wanted);
  std::vector<uint16_t> taken(free_.begin(), free_.begin() + wanted);
  free_.erase(free_.begin(), free_.begin() + wanted);
  if (indirect) {
    const auto size_bytes = static_cast<uint32_t>(16 * buffers.size());
    const uint64_t table = ram_.Allocate(size_bytes);
    for (uint16_t i = 0; i < buffers.size(); ++i) {
      WriteDescriptor(table, i, buffers[i], i + 1u == buffers.size(), i + 1);
    }
    SetDescriptor(taken[0], table, size_bytes, kIndirect, 0);
  } else {
    for (size_t i = 0; i < buffers.size(); ++i) {
      const bool last = i + 1 == buffers.size();
      WriteDescriptor(layout_.descriptor_area, taken[i], buffers[i], last, last ? 0 : taken[i + 1]);
    }
  }
  const uint16_t head = taken[0];
  chains_[head] = std::move(taken);
  MakeAvailable(head);
  return head;
}

void FakeSplitDriver::AddTable(uint64_t address, uint32_t size_bytes) {
  const uint16_t head = free_.front();
  free_.pop_front();
  SetDescriptor(head, address, size_bytes, kIndirect, 0);
  chains_[head] = {head};
  MakeAvailable(head);
}

void FakeSplitDriver::MakeAvailable(uint16_t head) {
  ram_.Set<uint16_t>(layout_.driver_area + 4 + 2u * (available_index_ % layout_.size), head);
  SetAvailableIndex(available_index_ + 1);
}

void FakeSplitDriver::SetAvailableIndex(uint16_t index) {
  available_index_ = index;
  Word(ram_, layout_.driver_area + 2).store(index, std::memory_order_release);
}

std::optional<FakeDriver::Used> FakeSplitDriver::TakeUsed() {
  if (Word(ram_, layout_.device_area + 2).load(std::memory_order_acquire) == used_index_) return std::nullopt;
  const uint64_t entry = layout_.device_area + 4 + 8u * (used_index_ % layout_.size);
  ++used_index_;
  const auto id = ram_.Get<uint32_t>(entry);
  CHECK(id < layout_.size);
  free_.insert(free_.end(), chains_[id].begin(), chains_[id].end());
  chains_[id].clear();
  return Used{static_cast<uint16_t>(id), ram_.Get<uint32_t>(entry + 4)};
}

bool FakeSplitDriver::KickWanted() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const uint16_t before = std::exchange(kicked_index_, available_index_);
  if (before == available_index_) return false;
  if (!Has(kVirtioRingEventIdx)) return (Word(ram_, layout_.device_area).load() & 1) == 0;
  const uint16_t event = Word(ram_, layout_.device_area + 4 + 8u * layout_.size).load();
  return static_cast<uint16_t>(available_index_ - event - 1) <
         static_cast<uint16_t>(available_index_ - before);
}

void FakeSplitDriver::EnableInterrupts() {
  if (Has(kVirtioRingEventIdx)) {
    Word(ram_, layout_.driver_area + 4 + 2u * layout_.size).store(used_index_);
  } else {
    Word(ram_, layout_.driver_area).store(0);
  }
}

void FakeSplitDriver::DisableInterrupts() {
  if (Has(kVirtioRingEventIdx)) {
    // As far behind as can be.
    Word(ram_, layout_.driver_area + 4 + 2u * layout_.size).store(static_cast<uint16_t>(used_index_ - 1));
  } else {
    Word(ram_, layout_.driver_area).store(1);
  }
}

}  // namespace berth::hw
