// A slot on no bus: two address spaces of its own and a fake interrupt controller.
#pragma once

#include "hw/pci/function.h"
#include "tests/fakes/fake_interrupts.h"

namespace berth::hw {

class FakePciSlot final : public PciSlot {
 public:
  static constexpr uint64_t kMemorySize = uint64_t{1} << 46, kIoSize = 0x10000;

  AddressSpace& memory_space() override { return memory_; }
  Region& memory() override { return memory_.root(); }
  AddressSpace& io_space() override { return io_; }
  Region& io() override { return io_.root(); }
  InterruptController& interrupts() override { return interrupts_; }
  uint32_t IntxGsi(uint8_t pin) const override { return 15u + pin; }
  bool behind_root_port() const override { return root_port; }

  FakeInterrupts& fake_interrupts() { return interrupts_; }
  bool root_port = false;

 private:
  AddressSpace memory_{"memory", kMemorySize}, io_{"io", kIoSize};
  FakeInterrupts interrupts_;
};

}  // namespace berth::hw
