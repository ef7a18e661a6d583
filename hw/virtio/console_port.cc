#include "hw/virtio/console_port.h"

#include <algorithm>
#include <array>

#include "hw/virtio/chain.h"

namespace berth::hw {
namespace {

// What a chain writes beyond this is cut, so that one cannot keep the loop busy.
constexpr uint64_t kMaxOutputAChain = 64 * 1024;

}  // namespace

Result<std::unique_ptr<ConsolePort>> ConsolePort::Create(Output output) {
  return std::unique_ptr<ConsolePort>(new ConsolePort(std::move(output), TRY(CreateEventFd())));
}

Status ConsolePort::Start(const VirtioActivation& activation, unsigned receive, unsigned transmit) {
  memory_ = activation.memory;
  loop_ = activation.loop;
  transport_ = activation.transport;
  transmit_queue_ = activation.queues[transmit];
  transmit_ =
      TRY(QueueService::Start(activation, transmit, [this](const DescriptorChain& chain) { Take(chain); }));
  receive_ = activation.queues[receive];
  if (receive_ == nullptr) return Ok();
  TRY(loop_->Watch(receive_->kick_fd(), EPOLLIN, [this](uint32_t) { Deliver(); }));
  return loop_->Watch(fresh_.get(), EPOLLIN, [this](uint32_t) { Deliver(); });
}

void ConsolePort::Stop() {
  transmit_.reset();
  if (receive_ != nullptr) StopReceiving();
  MutexLock lock(mutex_);
  input_.clear();
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
  const uint64_t size = std::min(chain.readable_bytes(), kMaxOutputAChain);
  for (uint64_t done = 0; done < size;) {
    const auto bytes = std::span(piece).first(std::min<uint64_t>(size - done, piece.size()));
    if (!ReadChain(*memory_, chain.readable, done, bytes)) break;
    Write(bytes);
    done += bytes.size();
    written_.Add(bytes.size());
  }
  transmit_queue_->Push(chain, 0);
}

// Moves bytes into the driver's buffers, as far as there are both.
void ConsolePort::Deliver() {
  DrainEventFd(fresh_.get());
  DrainEventFd(receive_->kick_fd());
  for (unsigned chains = 0; HasInput(); ++chains) {
    if (chains == QueueService::kChainsATurn) {
      SignalEventFd(fresh_.get());
      break;
    }
    const Result<std::optional<DescriptorChain>> chain = receive_->Pop();
    if (!chain) {
      receive_->Notify();
      StopReceiving();
      return transport_->NeedsReset(chain.error().message());
    }
    if (!chain->has_value()) break;  // The driver kicks when it has room: kicks are never off here.
    receive_->Push(**chain, Fill(**chain));
  }
  receive_->Notify();
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

void ConsolePort::StopReceiving() {
  loop_->Unwatch(receive_->kick_fd());
  loop_->Unwatch(fresh_.get());
  receive_ = nullptr;
}

}  // namespace berth::hw
