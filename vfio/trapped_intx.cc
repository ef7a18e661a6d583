#include "vfio/trapped_intx.h"

#include <sys/epoll.h>

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
  loop_->Call([this] { loop_->Unwatch(trigger_.get()); });
  Lower();
}

void TrappedIntx::OnTrigger() {
  MutexLock lock(mutex_);
  // Nothing is left to count where Lower was first.
  if (DrainEventFd(trigger_.get()) == 0) return;
  raised_ = true;
  controller_->SetLevel(gsi_, this, true);
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
