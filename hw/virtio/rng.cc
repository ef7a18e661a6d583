#include "hw/virtio/rng.h"

#include <sys/random.h>

#include <algorithm>
#include <array>

#include "hw/virtio/chain.h"
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
  std::vector<NamedCounter> counters() const override {
    return {{"requests", &requests_}, {"bytes", &bytes_}};
  }

 private:
  static constexpr std::array<uint16_t, 1> kQueueSizes = {64};

  void Serve(const DescriptorChain& chain) {
    std::array<uint8_t, kMaxBytesAChain> random;
    const size_t size = std::min<uint64_t>(chain.writable_bytes(), random.size());
    const ssize_t got = ::getrandom(random.data(), size, 0);
    const std::span bytes = std::span(random).first(got > 0 ? static_cast<size_t>(got) : 0);
    const bool written = WriteChain(*memory_, chain.writable, 0, bytes);
    requests_.Add();
    bytes_.Add(written ? bytes.size() : 0);
    queue_->Push(chain, written ? static_cast<uint32_t>(bytes.size()) : 0);
  }

  const GuestMemory* memory_ = nullptr;
  VirtQueue* queue_ = nullptr;
  std::unique_ptr<QueueService> service_;
  Counter requests_, bytes_;
};

}  // namespace

std::unique_ptr<VirtioDevice> CreateVirtioRng() { return std::make_unique<Rng>(); }

}  // namespace berth::hw
