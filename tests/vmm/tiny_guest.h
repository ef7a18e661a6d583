// A guest of a few instructions, in place of a kernel: for tests of the machine that need no operating
// system.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vmm/machine.h"

namespace berth::vmm {

// An ELF kernel with a PVH entry, of 32-bit protected-mode code that is loaded and entered at kEntry.
constexpr uint32_t kTinyGuestEntry = 0x100000;
std::string TinyKernel(const std::vector<uint8_t>& code);

// The machine around it, on this process's own control loop.
struct TinyMachine {
  // One vCPU, 64 MiB; `adjust` may change the configuration before the machine is built.
  static Result<std::unique_ptr<TinyMachine>> Create(
      const std::vector<uint8_t>& code, const std::function<void(v1::MachineConfig&)>& adjust = {});
  ~TinyMachine();

  // Runs the loop until an event of this kind has come (false after 20 s without one).
  bool RunUntil(v1::Event::Kind kind, v1::MachineState state = v1::MACHINE_STATE_UNSPECIFIED);

  std::unique_ptr<EventLoop> loop;
  EventLog events;
  std::unique_ptr<Machine> machine;
};

// Whether this host can run guests at all.
bool KvmIsThere();

}  // namespace berth::vmm
