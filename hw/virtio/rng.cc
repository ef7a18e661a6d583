#include "hw/virtio/rng.h"

#include <sys/random.h>

#include <algorithm>
#include <array>

#include "hw/virtio/queue_service.h"

namespace berth::hw {
namespace {

// A longer request is answered in part, so that one chain cannot keep the loop busy.
constexpr size_t kMaxBytesAChain = 4096;

class Rng final : public VirtioDevice {
 public:
  VirtioType type() const override { return VirtioType::kRng; }
  uint64_t features() const override { return 0; }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  void ReadConfig(uint32_t, std::span<uint8_t> bytes) override { std::fill(bytes.begin(), bytes.end(), 0); }
  void WriteConfig(uint32_t, std::span<const uint8_t>) override {}

  Status Activate(const VirtioActivation& activation) override {
    memory_ = activation.memory;
    queue_ = activation.queues[0];
    service_ =
        TRY(QueueService::Start(activation, 0, [this](const DescriptorChain& chain) { Serve(chain); }));
    return Ok();
  }
  void Reset() override { service_.reset(); }

 private:
  static constexpr std::array<uint16_t, 1> kQueueSizes = {64};

  void Serve(const DescriptorChain& chain) {
    std::array<uint8_t, kMaxBytesAChain> random;
    size_t written = 0;
    for (const GuestBuffer& buffer : chain.writable) {
      const size_t size = std::min<size_t>(buffer.size, random.size() - written);
      const ssize_t got = size == 0 ? 0 : ::getrandom(random.data(), size, 0);
      if (got <= 0 || !memory_->Write(buffer.address, {random.data(), static_cast<size_t>(got)})) break;
      written += static_cast<size_t>(got);
      if (static_cast<size_t>(got) < buffer.size) break;
    }
    queue_->Push(chain, static_cast<uint32_t>(written));
  }

  const GuestMemory* memory_ = nullptr;
  VirtQueue* queue_ = nullptr;
  std::unique_ptr<QueueService> service_;
};

}  // namespace

std::unique_ptr<VirtioDevice> CreateVirtioRng() { return std::make_unique<Rng>(); }

}  // namespace berth::hw
