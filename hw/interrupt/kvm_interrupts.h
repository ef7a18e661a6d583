// Interrupts through KVM: routes, irqfds and the in-kernel I/O APIC.
#pragma once

#include <map>
#include <set>

#include "base/mutex.h"
#include "hw/interrupt/interrupt.h"
#include "kvm/vm.h"

namespace berth::hw {

// A vector takes a GSI at its first Unmask and keeps it, so the 4096 that KVM has are spent only on vectors
// in use. A mask takes the irqfd off before the route can change; an unmask sets the route before the irqfd
// goes on.
class KvmInterrupts final : public InterruptController {
 public:
  explicit KvmInterrupts(kvm::Vm* vm) : vm_(vm) {}

  Result<std::unique_ptr<MsiVector>> CreateMsiVector() override;
  Result<std::unique_ptr<IntxLine>> CreateIntxLine(uint32_t gsi) override;
  Status UnmaskAll(std::span<MsiVector* const> vectors, std::span<const MsiMessage> messages) override;
  void SetLevel(uint32_t gsi, const void* driver, bool level) override;

 private:
  class Vector;
  class Line;
  Result<uint32_t> TakeGsi() REQUIRES(mutex_);
  Status SetRoutes() REQUIRES(mutex_);

  kvm::Vm* const vm_;
  Mutex mutex_;
  std::map<uint32_t, MsiMessage> routes_ GUARDED_BY(mutex_);  // By GSI.
  std::set<uint32_t> free_gsis_ GUARDED_BY(mutex_);
  std::set<std::pair<uint32_t, const void*>> held_high_ GUARDED_BY(mutex_);  // GSI and driver.
  uint32_t next_gsi_ GUARDED_BY(mutex_) = kvm::Vm::kIoApicPins;
};

}  // namespace berth::hw
