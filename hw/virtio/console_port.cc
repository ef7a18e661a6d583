#include "hw/virtio/console_port.h"

#include <algorithm>
#include <array>

#include "hw/virtio/chain.h"

namespace berth::hw {
Result<std::unique_ptr<ConsolePort>> ConsolePort::Create(Output output) {
  return std::unique_ptr<ConsolePort>(new ConsolePort(std::move(output), TRY(CreateEventFd())));
}

Status ConsolePort::Start(const VirtioActivation& activation, unsigned receive, unsigned transmit) {
  memory_ = activation.memory;
  loop_ = activation.loop;
  transmit_queue_ = activation.queues[transmit];
  transmit_ =
      TRY(QueueService::Start(activation, transmit, [this](const DescriptorChain& chain) { Take(chain); }));
  if (transmit_) transmit_->Hold(held_);
  receive_ = TRY(QueueFiller::Start(
      activation, receive, [this] { return HasInput(); },
      [this](const DescriptorChain& chain) { return Fill(chain); }));
  if (!receive_) return Ok();
  return loop_->Watch(fresh_.get(), EPOLLIN, [this](uint32_t) {
    DrainEventFd(fresh_.get());
    receive_->Run();
  });
}

void ConsolePort::Stop() {
  transmit_.reset();
  if (receive_) loop_->Unwatch(fresh_.get());
  receive_.reset();
  MutexLock lock(mutex_);
  input_.clear();
}

void ConsolePort::HoldOutput(bool hold) {
  held_ = hold;
  if (transmit_) transmit_->Hold(hold);
}

size_t ConsolePort::Input(std::span<const uint8_t> bytes) {
  size_t taken;
  {
    MutexLock lock(mutex_);
    taken = std::min(bytes.size(), kMaxInputBytes - input_.size());
    input_.insert(input_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
  }
  SignalEventFd(fresh_.get());
  return taken;
}

void ConsolePort::Take(const DescriptorChain& chain) {
  std::array<uint8_t, 4096> piece;
  const uint64_t size = std::min(chain.readable_bytes(), kMaxChainBytes);
  for (uint64_t done = 0; done < size;) {
    const auto bytes = std::span(piece).first(std::min<uint64_t>(size - done, piece.size()));
    if (!ReadChain(*memory_, chain.readable, done, bytes)) break;
    Write(bytes);
    done += bytes.size();
    written_.Add(bytes.size());
  }
  transmit_queue_->Push(chain, 0);
}

uint32_t ConsolePort::Fill(const DescriptorChain& chain) {
  MutexLock lock(mutex_);
  const size_t size = std::min<uint64_t>(chain.writable_bytes(), input_.size());
  const auto end = input_.begin() + static_cast<ptrdiff_t>(size);
  // What finds no memory stays for the next buffer.
  if (!WriteChain(*memory_, chain.writable, 0, std::vector<uint8_t>(input_.begin(), end))) return 0;
  input_.erase(input_.begin(), end);
  read_.Add(size);
  return static_cast<uint32_t>(size);
}

bool ConsolePort::HasInput() {
  MutexLock lock(mutex_);
  return !input_.empty();
}

}  // namespace berth::hw
