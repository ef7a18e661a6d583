// An interrupt controller without a hypervisor: vectors are eventfds that tests drain.
#pragma once

#include <poll.h>

#include <atomic>
#include <map>
#include <memory>
#include <vector>

#include "base/unique_fd.h"
#include "hw/interrupt/interrupt.h"

namespace berth::hw {

class FakeInterrupts;

// Keeps its signals in the eventfd whether masked or not; a test takes those that the guest would get.
class FakeMsiVector final : public MsiVector {
 public:
  FakeMsiVector(FakeInterrupts* owner, unsigned number, UniqueFd eventfd)
      : owner_(owner), number_(number), eventfd_(std::move(eventfd)) {}
  ~FakeMsiVector() override;

  int eventfd() const override { return eventfd_.get(); }
  Status Unmask(const MsiMessage& message) override;
  void Mask() override { masked_ = true; }
  bool pending() const override { return masked_ && Readable(); }
  bool masked() const override { return masked_; }

  // What was last unmasked.
  const MsiMessage& message() const { return message_; }
  unsigned number() const { return number_; }
  // Signals that reached the guest since the last call; 0 while masked.
  uint64_t TakeInterrupts() { return masked_ ? 0 : DrainEventFd(eventfd_.get()); }

 private:
  friend class FakeInterrupts;
  bool Readable() const {
    pollfd wait{eventfd_.get(), POLLIN, 0};
    return ::poll(&wait, 1, 0) == 1;
  }

  FakeInterrupts* const owner_;
  const unsigned number_;
  const UniqueFd eventfd_;
  MsiMessage message_;
  std::atomic<bool> masked_{true};
};

// A pin: tests see what a guest would, and acknowledge as it would.
class FakeIntxLine final : public IntxLine {
 public:
  FakeIntxLine(FakeInterrupts* owner, uint32_t gsi, UniqueFd trigger, UniqueFd resample)
      : owner_(owner), gsi_(gsi), trigger_(std::move(trigger)), resample_(std::move(resample)) {}
  ~FakeIntxLine() override;
  int trigger_eventfd() const override { return trigger_.get(); }
  int resample_eventfd() const override { return resample_.get(); }
  Status Enable() override;
  void Disable() override { enabled_ = false; }

  uint32_t gsi() const { return gsi_; }
  bool enabled() const { return enabled_; }
  // Signals that reached the guest since the last call; 0 while disabled.
  uint64_t TakeInterrupts() { return enabled_ ? DrainEventFd(trigger_.get()) : 0; }
  // The end of the interrupt.
  void Acknowledge() { SignalEventFd(resample_.get()); }

 private:
  FakeInterrupts* const owner_;
  const uint32_t gsi_;
  const UniqueFd trigger_, resample_;
  std::atomic<bool> enabled_{false};
};

// Misbehaves on request: `fail_call` is the number of calls from now until one fails (1: the next), 0 for
// never.
class FakeInterrupts final : public InterruptController {
 public:
  Result<std::unique_ptr<MsiVector>> CreateMsiVector() override;
  Result<std::unique_ptr<IntxLine>> CreateIntxLine(uint32_t gsi) override;
  Status UnmaskAll(std::span<MsiVector* const> vectors, std::span<const MsiMessage> messages) override;
  void SetLevel(uint32_t gsi, const void*, bool level) override { levels[gsi] = level; }

  // The n-th vector that was created, or nullptr once it is gone.
  FakeMsiVector* vector(unsigned number) { return number < vectors_.size() ? vectors_[number] : nullptr; }
  // The line created last, or nullptr once it is gone.
  FakeIntxLine* line() { return line_; }

  std::atomic<int> fail_call{0};
  std::map<uint32_t, bool> levels;
  int unmask_all_calls = 0;

 private:
  friend class FakeMsiVector;
  friend class FakeIntxLine;
  Status Count(const char* what);
  std::vector<FakeMsiVector*> vectors_;
  FakeIntxLine* line_ = nullptr;
};

}  // namespace berth::hw
