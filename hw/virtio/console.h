// The console device: VIRTIO 1.2 section 5.3. Port 0 is the console; besides it there may be a port for the
// guest's agent, which drivers with VIRTIO_CONSOLE_F_MULTIPORT find by its name.
#pragma once

#include <memory>
#include <span>

#include "hw/virtio/console_port.h"
#include "hw/virtio/device.h"

namespace berth::hw {

class VirtioConsole : public VirtioDevice {
 public:
  // What was typed and not yet read by the guest; of each port.
  static constexpr size_t kMaxInputBytes = ConsolePort::kMaxInputBytes;
  // What the agent of QEMU's guests looks for.
  static constexpr char kAgentPortName[] = "org.qemu.guest_agent.0";

  // Gets what the guest prints. It must not block: called on the device's loop, and from a vCPU for emergency
  // writes.
  using Output = ConsolePort::Output;

  struct Ports {
    // Either may be empty: there is no such port, but for drivers that know of one port only. What they print
    // is dropped then.
    Output console, agent;
  };
  static Result<std::unique_ptr<VirtioConsole>> Create(Ports ports);

  // Types bytes to the guest, or sends them to its agent, and returns how many of them were taken; the others
  // find no room until the guest reads. Any thread. A reset of the device drops what it has not read.
  virtual size_t Input(std::span<const uint8_t> bytes) = 0;
  virtual size_t AgentInput(std::span<const uint8_t> bytes) = 0;
  // Whether somebody in the guest has the agent's port open. Any thread.
  virtual bool agent_open() const = 0;
  // As ConsolePort::HoldOutput, of the agent's. Loop thread.
  virtual void HoldAgentOutput(bool hold) = 0;
};

}  // namespace berth::hw
