#include "hw/virtio/balloon.h"

#include <algorithm>
#include <atomic>

#include "base/mutex.h"
#include "hw/virtio/chain.h"
#include "hw/virtio/discard.h"
#include "hw/virtio/queue_service.h"
#include "hw/virtio/trace.h"

namespace berth::hw {
namespace {

constexpr uint64_t kStatisticsQueue = 1 << 1, kDeflateOnOom = 1 << 2, kPageReporting = 1 << 5;
constexpr unsigned kInflate = 0, kDeflate = 1, kStatistics = 2;
// struct virtio_balloon_config: num_pages, actual.
constexpr uint32_t kActualOffset = 4, kConfigSize = 8;
// Pages taken from one chain; Linux sends 256. What is beyond stays with the guest.
constexpr size_t kMaxPagesAChain = 1024;
constexpr unsigned kChainsATurn = 4;  // Each discards memory, which takes its time.
constexpr size_t kMaxStatistics = 64, kStatisticSize = 10;

class Balloon final : public VirtioBalloon {
 public:
  Balloon(const VirtioBalloonOptions& options, UniqueFd asked) : options_(options), asked_(std::move(asked)) {
    pages_.SetPinned(options.pinned);
  }

  VirtioType type() const override { return VirtioType::kBalloon; }
  uint64_t features() const override {
    return kStatisticsQueue | (options_.deflate_on_oom ? kDeflateOnOom : 0) |
           (reporting() ? kPageReporting : 0);
  }
  std::span<const uint16_t> queue_sizes() const override {
    return std::span(kQueueSizes).first(reporting() ? kQueueSizes.size() : kStatistics + 1);
  }

  void ReadConfig(uint32_t offset, std::span<uint8_t> bytes) override {
    std::array<uint8_t, kConfigSize> config;
    StoreLe<uint32_t>(&config[0], target_pages_);
    StoreLe<uint32_t>(&config[kActualOffset], actual_pages_);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = offset + i < kConfigSize ? config[offset + i] : 0;
  }
  void WriteConfig(uint32_t offset, std::span<const uint8_t> bytes) override {
    if (offset != kActualOffset || bytes.size() != 4) return;
    actual_pages_ = LoadLe<uint32_t>(bytes.data());
    trace::virtio_balloon_actual(actual_pages_, target_pages_);
  }

  Status Activate(const VirtioActivation& activation) override {
    memory_ = activation.memory;
    loop_ = activation.loop;
    transport_ = activation.transport;
    TRY(Serve(activation, kInflate, &Balloon::Inflate));
    TRY(Serve(activation, kDeflate, &Balloon::Deflate));
    unsigned next = kStatistics;
    if (activation.features & kStatisticsQueue) TRY(Serve(activation, next++, &Balloon::TakeStatistics));
    // Reporting is queue 4 (5.5.2), but drivers are about that number only the queues they use. Without free
    // page hinting, which is not offered, nothing else can be meant by those in between.
    if (activation.features & kPageReporting) {
      for (; next < activation.queues.size(); ++next) TRY(Serve(activation, next, &Balloon::Report));
    }
    return loop_->Watch(asked_.get(), EPOLLIN, [this](uint32_t) { Asked(); });
  }

  void Reset() override {
    for (auto& service : services_) service.reset();
    if (loop_ != nullptr) loop_->Unwatch(asked_.get());
    loop_ = nullptr;
    held_.reset();
    actual_pages_ = 0;
    MutexLock lock(mutex_);
    statistics_ = {};
  }

  Status SetTarget(uint64_t size_bytes) override {
    const uint64_t pages = size_bytes / PageDiscarder::kPageSize;
    if (pages > UINT32_MAX) {
      return Fail(Error(Code::kOutOfRange, fmt::format("a balloon of {}", HumanSize(size_bytes)))
                      .Field("size_bytes"));
    }
    MutexLock lock(mutex_);
    if (pages != 0 && pages_.pinned()) {
      return Fail(Error(Code::kFailedPrecondition,
                        "guest memory is mapped for an assigned device and cannot be ballooned")
                      .Reason("MEMORY_PINNED"));
    }
    Ask(static_cast<uint32_t>(pages));
    return Ok();
  }

  BalloonState state() const override {
    return {.target_bytes = target_pages_ * PageDiscarder::kPageSize,
            .actual_bytes = actual_pages_ * PageDiscarder::kPageSize,
            .discarded_bytes = pages_.discarded_bytes().value()};
  }

  void SetPinned(bool pinned) override {
    MutexLock lock(mutex_);
    pages_.SetPinned(pinned);
    if (pinned) Ask(0);
  }

  std::vector<NamedCounter> counters() const override {
    return {{"inflated_pages", &inflated_},
            {"reports", &reports_},
            {"discarded_bytes", &pages_.discarded_bytes()}};
  }

  void RequestStatistics() override {
    statistics_wanted_ = true;
    SignalEventFd(asked_.get());
  }
  BalloonStatistics statistics() const override {
    MutexLock lock(mutex_);
    return statistics_;
  }

 private:
  static constexpr std::array<uint16_t, 5> kQueueSizes = {128, 128, 16, 32, 32};

  bool reporting() const { return options_.free_page_reporting && !options_.pinned; }

  Status Serve(const VirtioActivation& activation, unsigned index,
               void (Balloon::*serve)(VirtQueue& queue, const DescriptorChain& chain)) {
    VirtQueue* queue = activation.queues[index];
    services_[index] = TRY(QueueService::Start(
        activation, index,
        [this, queue, serve](const DescriptorChain& chain) { (this->*serve)(*queue, chain); }, kChainsATurn));
    if (serve == &Balloon::TakeStatistics) statistics_queue_ = queue;
    return Ok();
  }

  // What the driver has to say, at most `limit` bytes of it; nothing if it is not in RAM.
  std::vector<uint8_t> Message(const DescriptorChain& chain, size_t limit) const {
    std::vector<uint8_t> bytes(std::min<uint64_t>(chain.readable_bytes(), limit));
    if (!ReadChain(*memory_, chain.readable, 0, bytes)) bytes.clear();
    return bytes;
  }

  void Inflate(VirtQueue& queue, const DescriptorChain& chain) {
    const std::vector<uint8_t> message = Message(chain, kMaxPagesAChain * 4);
    std::vector<uint32_t> numbers;
    for (size_t at = 0; at + 4 <= message.size(); at += 4) numbers.push_back(LoadLe<uint32_t>(&message[at]));
    trace::virtio_balloon_inflate(numbers.size());
    inflated_.Add(numbers.size());
    for (const Range& range : PageRanges(std::move(numbers)))
      pages_.Discard(*memory_, range.start, range.size);
    queue.Push(chain, 0);
  }

  // The pages are there again as soon as the guest touches them.
  void Deflate(VirtQueue& queue, const DescriptorChain& chain) {
    trace::virtio_balloon_deflate(chain.readable_bytes() / 4);
    queue.Push(chain, 0);
  }

  // Each buffer of the chain is a run of free pages.
  void Report(VirtQueue& queue, const DescriptorChain& chain) {
    trace::virtio_balloon_report(chain.writable.size(), chain.writable_bytes());
    reports_.Add();
    for (const GuestBuffer& buffer : chain.writable) pages_.Discard(*memory_, buffer.address, buffer.size);
    queue.Push(chain, 0);
  }

  // The driver has one buffer here at a time, and gets it back as a question for the next (5.5.6.3).
  void TakeStatistics(VirtQueue& queue, const DescriptorChain& chain) {
    const std::vector<uint8_t> message = Message(chain, kMaxStatistics * kStatisticSize);
    {
      MutexLock lock(mutex_);
      for (size_t at = 0; at + kStatisticSize <= message.size(); at += kStatisticSize) {
        const auto tag = LoadLe<uint16_t>(&message[at]);
        if (tag < BalloonStatistics::kCount) statistics_.values[tag] = LoadLe<uint64_t>(&message[at + 2]);
      }
      ++statistics_.updates;
    }
    statistics_wanted_ = false;
    if (held_) queue.Push(*held_, 0);
    held_ = chain;
  }

  // Lets the loop tell the driver.
  void Ask(uint32_t pages) REQUIRES(mutex_) {
    if (target_pages_.exchange(pages) == pages) return;
    target_changed_ = true;
    SignalEventFd(asked_.get());
  }

  void Asked() {
    DrainEventFd(asked_.get());
    if (target_changed_.exchange(false)) transport_->ConfigChanged();
    if (!held_ || !statistics_wanted_.exchange(false)) return;
    statistics_queue_->Push(*held_, 0);
    held_.reset();
    statistics_queue_->Notify();
  }

  const VirtioBalloonOptions options_;
  const UniqueFd asked_;  // Signalled when the loop has something to tell the driver.
  PageDiscarder pages_;
  std::atomic<uint32_t> target_pages_{0}, actual_pages_{0};
  std::atomic<bool> target_changed_{false}, statistics_wanted_{false};

  // Loop thread.
  const GuestMemory* memory_ = nullptr;
  EventLoop* loop_ = nullptr;
  VirtioTransport* transport_ = nullptr;
  std::array<std::unique_ptr<QueueService>, kQueueSizes.size()> services_;
  VirtQueue* statistics_queue_ = nullptr;
  std::optional<DescriptorChain> held_;  // The statistics buffer.
  Counter inflated_, reports_;

  mutable Mutex mutex_;
  BalloonStatistics statistics_ GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<VirtioBalloon>> VirtioBalloon::Create(const VirtioBalloonOptions& options) {
  return std::make_unique<Balloon>(options, TRY(CreateEventFd()));
}

}  // namespace berth::hw
