// INTx of a device whose kernel driver cannot unmask it by an eventfd. Those are devices made of software,
// and they may forget what they raise while the line is masked; so it is unmasked as early as can be, at the
// guest's next access to the device: from when the line is raised until the device has been quiet for a
// while, all of them trap. The guest's handler reads the device before it is done, and what is raised from
// then on keeps the line up past the end of the interrupt.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "base/event_loop.h"
#include "base/mutex.h"
#include "hw/interrupt/interrupt.h"
#include "vfio/device_interrupts.h"

namespace berth::vfio {

class TrappedIntx {
 public:
  // All outlive this. `loop` runs as long as this exists, or not yet.
  static Result<std::unique_ptr<TrappedIntx>> Create(hw::InterruptController* controller, uint32_t gsi,
                                                     DeviceInterrupts* device, EventLoop* loop);
  ~TrappedIntx();

  // What takes the device's memory from the guest's sight, so that accesses trap, and shows it again: called
  // on the loop. Once SetMemory returns, what was set before is not called any more. Not in a change of the
  // guest's memory.
  static constexpr std::chrono::milliseconds kQuiet{1000};
  using ShowMemory = std::function<void(bool shown)>;
  void SetMemory(ShowMemory show, std::chrono::milliseconds quiet = kQuiet);

  // For the device to signal.
  int trigger_eventfd() const { return trigger_.get(); }
  // The guest has accessed the device. Any thread.
  void OnAccess();
  // Forgets what was raised. Once the device no longer signals.
  void Lower();

 private:
  TrappedIntx(hw::InterruptController* controller, uint32_t gsi, DeviceInterrupts* device, EventLoop* loop,
              UniqueFd trigger)
      : controller_(controller), gsi_(gsi), device_(device), loop_(loop), trigger_(std::move(trigger)) {}
  void OnTrigger();
  void OnQuiet();

  hw::InterruptController* const controller_;
  const uint32_t gsi_;
  DeviceInterrupts* const device_;
  EventLoop* const loop_;
  const UniqueFd trigger_;
  // The loop's.
  ShowMemory show_;
  std::chrono::milliseconds quiet_ = kQuiet;
  bool shown_ = true;
  EventLoop::Clock::time_point last_trigger_;
  std::optional<EventLoop::TimerId> timer_;

  Mutex mutex_;  // The line's level is `raised_`.
  bool raised_ GUARDED_BY(mutex_) = false;
};

}  // namespace berth::vfio
