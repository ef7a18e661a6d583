#include "tests/fakes/fake_virtio.h"

#include <algorithm>

namespace berth::hw {

FakeVirtio::FakeVirtio(VirtioDevice* device, std::vector<Range> ram_ranges)
    : device_(*device), ram_(std::move(ram_ranges)), loop_(*EventLoop::Create()) {}

Status FakeVirtio::Activate(uint64_t features, uint16_t queue_size) {
  features |= kVirtioVersion1;
  queues_.clear();
  pointers_.clear();
  for (uint16_t largest : device_.queue_sizes()) {
    Queue& queue = queues_.emplace_back();
    queue.kick = TRY(CreateEventFd());
    queue.call = TRY(CreateEventFd());
    queue.driver = FakeDriver::Create(&ram_, std::min(largest, queue_size), features);
    queue.queue = TRY(VirtQueue::Create(&ram_.memory(), queue.driver->layout(), features, queue.kick.get(),
                                        queue.call.get()));
    pointers_.push_back(queue.queue.get());
  }
  return device_.Activate({.features = features,
                           .memory = &ram_.memory(),
                           .loop = loop_.get(),
                           .transport = &transport_,
                           .queues = pointers_});
}

void FakeVirtio::Reset() {
  device_.Reset();
  pointers_.clear();
  queues_.clear();
}

void FakeVirtio::Kick(unsigned queue) {
  if (driver(queue).KickWanted()) SignalEventFd(queues_[queue].kick.get());
  Turn();
}

void FakeVirtio::ForceKick(unsigned queue) {
  SignalEventFd(queues_[queue].kick.get());
  Turn();
}

void FakeVirtio::Turn() {
  loop_->Post([this] { loop_->Stop(); });
  loop_->Run();
}

bool FakeVirtio::TurnUntil(const std::function<bool()>& done) {
  const auto deadline = EventLoop::Clock::now() + std::chrono::seconds(10);
  while (!done()) {
    const auto now = EventLoop::Clock::now();
    if (now > deadline) return false;
    const auto timer = loop_->At(now + std::chrono::milliseconds(1), [this] { loop_->Stop(); });
    loop_->Run();
    loop_->Cancel(timer);
  }
  return true;
}

}  // namespace berth::hw
