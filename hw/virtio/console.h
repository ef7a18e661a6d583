// The console device with one port: VIRTIO 1.2 section 5.3.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "hw/virtio/device.h"

namespace berth::hw {

class VirtioConsole : public VirtioDevice {
 public:
  // What was typed and not yet read by the guest.
  static constexpr size_t kMaxInputBytes = 4096;

  // Gets what the guest prints. It must not block: called on the device's loop, and from a vCPU for emergency
  // writes.
  using Output = std::function<void(std::span<const uint8_t>)>;

  static Result<std::unique_ptr<VirtioConsole>> Create(Output output);

  // Types bytes to the guest and returns how many of them were taken; the others find no room until the guest
  // reads. Any thread. A reset of the device drops what it has not read.
  virtual size_t Input(std::span<const uint8_t> bytes) = 0;
};

}  // namespace berth::hw
