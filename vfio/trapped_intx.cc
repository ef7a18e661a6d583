#include "vfio/trapped_intx.h"

#include <sys/epoll.h>

#include <algorithm>

#include "base/log.h"

namespace berth::vfio {

Result<std::unique_ptr<TrappedIntx>> TrappedIntx::Create(hw::InterruptController* controller, uint32_t gsi,
                                                         DeviceInterrupts* device, EventLoop* loop) {
  std::unique_ptr<TrappedIntx> made(new TrappedIntx(controller, gsi, device, loop, TRY(CreateEventFd())));
  Status watching = Ok();
  loop->Call([&] {
    watching = loop->Watch(made->trigger_.get(), EPOLLIN, [raw = made.get()](uint32_t) { raw->OnTrigger(); });
  });
  if (!watching) return Fail(watching.error());
  return made;
}

TrappedIntx::~TrappedIntx() {
  loop_->Call([this] {
    loop_->Unwatch(trigger_.get());
    if (timer_) loop_->Cancel(*timer_);
  });
  Lower();
}

void TrappedIntx::SetMemory(ShowMemory show, std::chrono::milliseconds quiet) {
  loop_->Call([&] {
    if (timer_) loop_->Cancel(*timer_);
    timer_.reset();
    show_ = std::move(show);
    quiet_ = quiet;
    shown_ = true;
  });
}

void TrappedIntx::OnTrigger() {
  // First: the guest's next access is to trap.
  if (show_ && shown_) {
    show_(false);
    shown_ = false;
  }
  last_trigger_ = EventLoop::Clock::now();
  if (show_ && !timer_) timer_ = loop_->At(last_trigger_ + quiet_, [this] { OnQuiet(); });
  MutexLock lock(mutex_);
  // Nothing is left to count where Lower was first.
  if (DrainEventFd(trigger_.get()) == 0) return;
  raised_ = true;
  controller_->SetLevel(gsi_, this, true);
}

void TrappedIntx::OnQuiet() {
  timer_.reset();
  bool raised;
  {
    MutexLock lock(mutex_);
    raised = raised_;
  }
  const EventLoop::Clock::time_point now = EventLoop::Clock::now();
  if (raised || now < last_trigger_ + quiet_) {
    timer_ = loop_->At(std::max(now, last_trigger_) + quiet_, [this] { OnQuiet(); });
    return;
  }
  show_(true);
  shown_ = true;
}

void TrappedIntx::OnAccess() {
  MutexLock lock(mutex_);
  if (!raised_) return;
  raised_ = false;
  controller_->SetLevel(gsi_, this, false);
  const Status unmasked = device_->UnmaskIntx();
  if (!unmasked) LOG_WARNING_LIMITED("{}", unmasked.error().message());
}

void TrappedIntx::Lower() {
  MutexLock lock(mutex_);
  DrainEventFd(trigger_.get());
  raised_ = false;
  controller_->SetLevel(gsi_, this, false);
}

}  // namespace berth::vfio
