#include "hw/virtio/console.h"

#include <algorithm>
#include <array>
#include <deque>

#include "base/mutex.h"
#include "hw/virtio/chain.h"
#include "hw/virtio/queue_service.h"

namespace berth::hw {
namespace {

constexpr uint64_t kEmergencyWrite = 1 << 2;
constexpr unsigned kReceive = 0, kTransmit = 1;
// struct virtio_console_config: size of the screen, number of ports, emergency write.
constexpr uint32_t kConfigSize = 12, kPortsOffset = 4, kEmergencyOffset = 8;
// What a chain prints beyond this is cut, so that one cannot keep the loop busy.
constexpr uint64_t kMaxOutputAChain = 64 * 1024;

class Console final : public VirtioConsole {
 public:
  Console(Output output, UniqueFd typed) : output_(std::move(output)), typed_(std::move(typed)) {}

  VirtioType type() const override { return VirtioType::kConsole; }
  uint64_t features() const override { return kEmergencyWrite; }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }

  void ReadConfig(uint32_t offset, std::span<uint8_t> bytes) override {
    std::array<uint8_t, kConfigSize> config{};
    config[kPortsOffset] = 1;
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = offset + i < kConfigSize ? config[offset + i] : 0;
  }
  void WriteConfig(uint32_t offset, std::span<const uint8_t> bytes) override {
    if (offset == kEmergencyOffset && !bytes.empty()) output_(bytes.first(1));
  }

  Status Activate(const VirtioActivation& activation) override {
    memory_ = activation.memory;
    loop_ = activation.loop;
    transport_ = activation.transport;
    transmit_queue_ = activation.queues[kTransmit];
    transmit_ = TRY(
        QueueService::Start(activation, kTransmit, [this](const DescriptorChain& chain) { Print(chain); }));
    receive_ = activation.queues[kReceive];
    if (receive_ == nullptr) return Ok();
    TRY(loop_->Watch(receive_->kick_fd(), EPOLLIN, [this](uint32_t) { Deliver(); }));
    return loop_->Watch(typed_.get(), EPOLLIN, [this](uint32_t) { Deliver(); });
  }

  void Reset() override {
    transmit_.reset();
    if (receive_ != nullptr) StopReceiving();
    MutexLock lock(mutex_);
    input_.clear();
  }

  std::vector<NamedCounter> counters() const override {
    return {{"printed_bytes", &printed_}, {"typed_bytes", &typed_bytes_}};
  }

  size_t Input(std::span<const uint8_t> bytes) override {
    size_t taken;
    {
      MutexLock lock(mutex_);
      taken = std::min(bytes.size(), kMaxInputBytes - input_.size());
      input_.insert(input_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
    }
    SignalEventFd(typed_.get());
    return taken;
  }

 private:
  static constexpr std::array<uint16_t, 2> kQueueSizes = {64, 64};

  void Print(const DescriptorChain& chain) {
    std::array<uint8_t, 4096> piece;
    const uint64_t size = std::min(chain.readable_bytes(), kMaxOutputAChain);
    for (uint64_t done = 0; done < size;) {
      const auto bytes = std::span(piece).first(std::min<uint64_t>(size - done, piece.size()));
      if (!ReadChain(*memory_, chain.readable, done, bytes)) break;
      output_(bytes);
      done += bytes.size();
      printed_.Add(bytes.size());
    }
    transmit_queue_->Push(chain, 0);
  }

  // Moves typed bytes into the driver's buffers, as far as there are both.
  void Deliver() {
    DrainEventFd(typed_.get());
    DrainEventFd(receive_->kick_fd());
    for (unsigned chains = 0; HasInput(); ++chains) {
      if (chains == QueueService::kChainsATurn) {
        SignalEventFd(typed_.get());
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

  uint32_t Fill(const DescriptorChain& chain) {
    MutexLock lock(mutex_);
    const size_t size = std::min<uint64_t>(chain.writable_bytes(), input_.size());
    const auto end = input_.begin() + static_cast<ptrdiff_t>(size);
    // What finds no memory stays for the next buffer.
    if (!WriteChain(*memory_, chain.writable, 0, std::vector<uint8_t>(input_.begin(), end))) return 0;
    input_.erase(input_.begin(), end);
    typed_bytes_.Add(size);
    return static_cast<uint32_t>(size);
  }

  bool HasInput() {
    MutexLock lock(mutex_);
    return !input_.empty();
  }

  void StopReceiving() {
    loop_->Unwatch(receive_->kick_fd());
    loop_->Unwatch(typed_.get());
    receive_ = nullptr;
  }

  const Output output_;
  const UniqueFd typed_;  // Signalled by Input.
  // Loop thread.
  const GuestMemory* memory_ = nullptr;
  EventLoop* loop_ = nullptr;
  VirtioTransport* transport_ = nullptr;
  VirtQueue* receive_ = nullptr;
  VirtQueue* transmit_queue_ = nullptr;
  std::unique_ptr<QueueService> transmit_;
  Counter printed_, typed_bytes_;

  Mutex mutex_;
  std::deque<uint8_t> input_ GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<VirtioConsole>> VirtioConsole::Create(Output output) {
  return std::make_unique<Console>(std::move(output), TRY(CreateEventFd()));
}

}  // namespace berth::hw
