// KVM as a listener of the guest's address spaces: memory slots and ioeventfds.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "hw/memory/address_space.h"
#include "kvm/vm.h"

namespace berth::hw {

// Every range of RAM or device memory is one slot. Slot numbers are reused.
class KvmMemorySlots final : public MemoryListener {
 public:
  explicit KvmMemorySlots(kvm::Vm* vm) : vm_(vm) {}
  Status Added(const FlatRange& range) override;
  void Removed(const FlatRange& range) override;

 private:
  kvm::Vm* const vm_;
  std::map<uint64_t, uint32_t> slots_;  // By guest address.
  std::vector<uint32_t> free_;
  uint32_t next_ = 0;
};

// One for memory, one for ports.
class KvmIoEvents final : public IoEventListener {
 public:
  KvmIoEvents(kvm::Vm* vm, bool ports) : vm_(vm), ports_(ports) {}
  Status Added(const FlatIoEvent& event) override;
  void Removed(const FlatIoEvent& event) override;

 private:
  kvm::Vm* const vm_;
  const bool ports_;
};

}  // namespace berth::hw
