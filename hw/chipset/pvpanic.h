// The port by which a guest's kernel says that it has panicked (QEMU's pvpanic specification; ACPI id
// QEMU0001).
#pragma once

#include <cstdint>
#include <functional>

#include "hw/memory/region.h"

namespace berth::hw {

class Pvpanic final : public IoHandler {
 public:
  static constexpr uint8_t kPanicked = 1, kCrashLoaded = 2, kShutdown = 4;

  // Called in a vCPU's thread with the bits the guest wrote, only those above.
  explicit Pvpanic(std::function<void(uint8_t events)> report) : report_(std::move(report)) {}
  // Reading says which events are understood.
  uint64_t Read(uint64_t offset, unsigned size) override;
  void Write(uint64_t offset, unsigned size, uint64_t value) override;

 private:
  const std::function<void(uint8_t)> report_;
};

}  // namespace berth::hw
