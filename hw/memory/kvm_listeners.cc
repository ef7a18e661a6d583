#include "hw/memory/kvm_listeners.h"

#include "base/log.h"
#include "hw/memory/trace.h"

namespace berth::hw {

Status KvmMemorySlots::Added(const FlatRange& range) {
  if (range.kind == Region::Kind::kIo) return Ok();
  uint32_t slot = next_;
  if (!free_.empty()) {
    slot = free_.back();
  } else if (next_ >= vm_->max_memory_slots()) {
    return Fail(Code::kResourceExhausted, "the guest needs more than KVM's {} memory slots",
                vm_->max_memory_slots());
  }
  TRY(vm_->SetMemorySlot(slot, range.start, range.mapping.address, range.size, !range.writable));
  if (!free_.empty()) {
    free_.pop_back();
  } else {
    ++next_;
  }
  slots_[range.start] = slot;
  trace::memory_slot_added(slot, range.start, range.size, range.writable);
  return Ok();
}

void KvmMemorySlots::Removed(const FlatRange& range) {
  const auto found = slots_.find(range.start);
  if (found == slots_.end()) return;  // A handler, or device memory that could not be mapped.
  const Status removed = vm_->SetMemorySlot(found->second, range.start, nullptr, 0, false);
  CHECK(removed);
  trace::memory_slot_removed(found->second, range.start, range.size);
  free_.push_back(found->second);
  slots_.erase(found);
}

Status KvmIoEvents::Added(const FlatIoEvent& event) {
  trace::doorbell_added(event.address, event.event.size, ports_);
  return vm_->SetIoEvent(event.event.eventfd, ports_, event.address, event.event.size, event.event.value,
                         true);
}

void KvmIoEvents::Removed(const FlatIoEvent& event) {
  trace::doorbell_removed(event.address, event.event.size, ports_);
  const Status removed =
      vm_->SetIoEvent(event.event.eventfd, ports_, event.address, event.event.size, event.event.value, false);
  if (!removed) LOG_WARNING("a doorbell at {:#x} stays: {}", event.address, removed.error().message());
}

}  // namespace berth::hw
