#include "hw/virtio/common_config.h"

#include "base/log.h"
#include "hw/virtio/trace.h"

namespace berth::hw {
namespace {

// struct virtio_pci_common_cfg (4.1.4.3).
constexpr unsigned kDeviceFeatureSelect = 0x00, kDeviceFeature = 0x04, kDriverFeatureSelect = 0x08,
                   kDriverFeature = 0x0c, kConfigVector = 0x10, kNumQueues = 0x12, kDeviceStatus = 0x14,
                   kConfigGeneration = 0x15, kQueueSelect = 0x16, kQueueSize = 0x18, kQueueVector = 0x1a,
                   kQueueEnable = 0x1c, kQueueNotifyOff = 0x1e, kQueueDesc = 0x20, kQueueDriver = 0x28,
                   kQueueDevice = 0x30;

constexpr uint8_t kIsrConfig = 2;

constexpr uint64_t kTransportFeatures =
    kVirtioVersion1 | kVirtioRingPacked | kVirtioRingIndirectDesc | kVirtioRingEventIdx;
// Bits 0 to 23 and 50 to 63 are the device's (section 2.2); 41 to 49 are reserved.
constexpr uint64_t kDeviceFeatures = 0xfffc'0000'00ff'ffff;

constexpr uint32_t Half(uint64_t features, uint32_t select) {
  return select > 1 ? 0 : static_cast<uint32_t>(features >> (32 * select));
}

// Writes the field at `field`, an address of 64 bits, if that is what the access is for: the whole of it or
// one half.
void SetAddress(uint64_t* address, unsigned field, unsigned offset, unsigned size, uint64_t value) {
  if (size == 8 && offset == field) *address = value;
  if (size == 4 && offset == field) *address = (*address & ~AllOnes(4)) | (value & AllOnes(4));
  if (size == 4 && offset == field + 4) *address = (*address & AllOnes(4)) | value << 32;
}

}  // namespace

CommonConfig::CommonConfig(std::string name, std::unique_ptr<VirtioDevice> device, const GuestMemory* memory,
                           EventLoop* loop, Msix* msix)
    : name_(std::move(name)),
      memory_(*memory),
      loop_(*loop),
      msix_(*msix),
      device_(std::move(device)),
      offered_features_((device_->features() & kDeviceFeatures) |
                        (kTransportFeatures & ~device_->refused_ring_features())) {}

Result<std::unique_ptr<CommonConfig>> CommonConfig::Create(std::string name,
                                                           std::unique_ptr<VirtioDevice> device,
                                                           const GuestMemory* memory, EventLoop* loop,
                                                           Msix* msix) {
  std::unique_ptr<CommonConfig> config(
      new CommonConfig(std::move(name), std::move(device), memory, loop, msix));
  for (const uint16_t max_size : config->device_->queue_sizes()) {
    CHECK(IsPowerOfTwo(max_size) && max_size <= kMaxQueueSize);
    config->queues_.push_back({max_size, TRY(CreateEventFd())});
  }
  MutexLock lock(config->mutex_);
  config->ResetLocked();
  return config;
}

CommonConfig::~CommonConfig() {
  Reset();
  // Whatever the device has left on its loop runs before.
  loop_.Call([this] { device_.reset(); });
}

uint64_t CommonConfig::Read(uint64_t offset, unsigned size) {
  uint8_t image[kSize + 8] = {};
  if (offset + size > kSize) return 0;
  MutexLock lock(mutex_);
  StoreLe<uint32_t>(image + kDeviceFeatureSelect, device_feature_select_);
  StoreLe<uint32_t>(image + kDeviceFeature, Half(offered_features_, device_feature_select_));
  StoreLe<uint32_t>(image + kDriverFeatureSelect, driver_feature_select_);
  StoreLe<uint32_t>(image + kDriverFeature, Half(driver_features_, driver_feature_select_));
  StoreLe<uint16_t>(image + kConfigVector, config_vector_);
  StoreLe<uint16_t>(image + kNumQueues, static_cast<uint16_t>(queues_.size()));
  image[kDeviceStatus] = status_ | (needs_reset_ ? kStatusNeedsReset : 0);
  image[kConfigGeneration] = generation_;
  StoreLe<uint16_t>(image + kQueueSelect, queue_select_);
  if (queue_select_ < queue_states_.size()) {
    const QueueState& queue = queue_states_[queue_select_];
    StoreLe<uint16_t>(image + kQueueSize, queue.layout.size);
    StoreLe<uint16_t>(image + kQueueVector, queue.vector);
    StoreLe<uint16_t>(image + kQueueEnable, queue.enabled);
    StoreLe<uint16_t>(image + kQueueNotifyOff, queue_select_);
    StoreLe<uint64_t>(image + kQueueDesc, queue.layout.descriptor_area);
    StoreLe<uint64_t>(image + kQueueDriver, queue.layout.driver_area);
    StoreLe<uint64_t>(image + kQueueDevice, queue.layout.device_area);
  }
  return LoadLeSized(image + offset, size);
}

void CommonConfig::Write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset + size > kSize) return;
  MutexLock lock(mutex_);
  if (offset < kQueueSize) {
    WriteField(static_cast<unsigned>(offset), size, value);
  } else {
    WriteQueueField(static_cast<unsigned>(offset), size, value);
  }
}

void CommonConfig::WriteField(unsigned offset, unsigned size, uint64_t value) {
  const auto word = static_cast<uint32_t>(value);
  if (offset == kDeviceFeatureSelect && size == 4) device_feature_select_ = word;
  if (offset == kDriverFeatureSelect && size == 4) driver_feature_select_ = word;
  // After FEATURES_OK no more bits are accepted (3.1.1).
  if (offset == kDriverFeature && size == 4 && driver_feature_select_ < 2 && !(status_ & kStatusFeaturesOk)) {
    const unsigned shift = 32 * driver_feature_select_;
    driver_features_ = (driver_features_ & ~(AllOnes(4) << shift)) | uint64_t{word} << shift;
  }
  if (offset == kConfigVector && size == 2) config_vector_ = CheckedVector(value);
  if (offset == kDeviceStatus && size == 1) WriteStatus(static_cast<uint8_t>(value));
  if (offset == kQueueSelect && size == 2) queue_select_ = static_cast<uint16_t>(value);
}

void CommonConfig::WriteQueueField(unsigned offset, unsigned size, uint64_t value) {
  if (queue_select_ >= queue_states_.size()) return;
  QueueState& queue = queue_states_[queue_select_];
  // An enabled queue stays as it is until reset, and after DRIVER_OK none is enabled.
  if (queue.enabled || (status_ & kStatusDriverOk)) return;
  const bool packed = (driver_features_ & kVirtioRingPacked) != 0;
  if (offset == kQueueSize && size == 2 && value <= queues_[queue_select_].max_size &&
      (packed || value == 0 || IsPowerOfTwo(value))) {
    queue.layout.size = static_cast<uint16_t>(value);
  }
  if (offset == kQueueVector && size == 2) queue.vector = CheckedVector(value);
  if (offset == kQueueEnable && size == 2 && value == 1) queue.enabled = true;
  SetAddress(&queue.layout.descriptor_area, kQueueDesc, offset, size, value);
  SetAddress(&queue.layout.driver_area, kQueueDriver, offset, size, value);
  SetAddress(&queue.layout.device_area, kQueueDevice, offset, size, value);
}

void CommonConfig::WriteStatus(uint8_t status) {
  trace::virtio_status(name_, status_, status);
  if (status == 0) return ResetLocked();
  if (needs_reset_) return;
  // "The driver MUST NOT clear a device status bit" (2.1.1) but by a reset, and NEEDS_RESET is ours.
  const uint8_t added = status & ~status_ & ~kStatusNeedsReset;
  status_ |= added & (kStatusAcknowledge | kStatusDriver | kStatusFailed);
  if ((added & kStatusFeaturesOk) && FeaturesAcceptable()) status_ |= kStatusFeaturesOk;
  // A driver that skips the negotiation reads back that it is not there yet.
  if (!(added & kStatusDriverOk) || !(status_ & kStatusFeaturesOk)) return;
  status_ |= kStatusDriverOk;
  driver_ok_ = true;
  if (const Status activated = Activate(); !activated) NeedsReset(activated.error().message());
}

bool CommonConfig::FeaturesAcceptable() const {
  return (driver_features_ & ~offered_features_) == 0 && (driver_features_ & kVirtioVersion1) != 0;
}

Status CommonConfig::Activate() {
  for (size_t i = 0; i < queues_.size(); ++i) {
    active_.emplace_back();
    active_pointers_.push_back(nullptr);
    const QueueState& state = queue_states_[i];
    if (!state.enabled) continue;
    MsiVector* vector = msix_.vector(state.vector);
    const int doorbell = queues_[i].doorbell.get(), call = vector == nullptr ? -1 : vector->eventfd();
    active_[i] = TRY(Context(VirtQueue::Create(&memory_, state.layout, driver_features_, doorbell, call),
                             fmt::format("queue {}", i)));
    active_pointers_[i] = active_[i].get();
    trace::virtio_queue_ready(name_, i, state.layout.size, doorbell, state.vector);
  }
  const VirtioActivation activation{.features = driver_features_,
                                    .memory = &memory_,
                                    .loop = &loop_,
                                    .transport = this,
                                    .queues = active_pointers_};
  Status activated = Ok();
  loop_.Call([&activated, &activation, device = device_.get()] { activated = device->Activate(activation); });
  if (!activated) return activated;
  // Drivers may fill queues, and even ring, before DRIVER_OK: each queue is looked at once.
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (queue_states_[i].enabled) SignalEventFd(queues_[i].doorbell.get());
  }
  return Ok();
}

void CommonConfig::Reset() {
  MutexLock lock(mutex_);
  ResetLocked();
}

void CommonConfig::ResetLocked() {
  driver_ok_ = false;  // From here on no interrupt.
  loop_.Call([device = device_.get()] { device->Reset(); });
  active_pointers_.clear();
  active_.clear();
  for (const Queue& queue : queues_) DrainEventFd(queue.doorbell.get());
  status_ = 0;
  device_feature_select_ = driver_feature_select_ = 0;
  driver_features_ = 0;
  queue_select_ = 0;
  queue_states_.assign(queues_.size(), {});
  for (size_t i = 0; i < queues_.size(); ++i) queue_states_[i].layout.size = queues_[i].max_size;
  config_vector_ = kNoVector;
  isr_ = 0;
  needs_reset_ = false;
}

uint64_t CommonConfig::ReadDevice(uint64_t offset, unsigned size) {
  uint8_t bytes[8] = {};
  MutexLock lock(mutex_);
  device_->ReadConfig(static_cast<uint32_t>(offset), {bytes, size});
  // Once for any number of changes between two reads: eight bits never come round unseen (4.1.4.3.1).
  if (config_changed_.exchange(false)) ++generation_;
  return LoadLeSized(bytes, size);
}

void CommonConfig::WriteDevice(uint64_t offset, unsigned size, uint64_t value) {
  uint8_t bytes[8];
  StoreLe<uint64_t>(bytes, value);
  MutexLock lock(mutex_);
  device_->WriteConfig(static_cast<uint32_t>(offset), {bytes, size});
}

// A vector that is not there reads back as NO_VECTOR, which tells the driver (4.1.5.1.2).
uint16_t CommonConfig::CheckedVector(uint64_t vector) const {
  return vector < msix_.count() ? static_cast<uint16_t>(vector) : kNoVector;
}

void CommonConfig::ConfigChanged() {
  config_changed_ = true;
  trace::virtio_config_changed(name_);
  InterruptForConfig();
}

void CommonConfig::NeedsReset(std::string_view why) {
  LOG_WARNING_LIMITED("{}: the driver must reset the device: {}", name_, why);
  trace::virtio_needs_reset(name_, why);
  needs_reset_ = true;
  InterruptForConfig();
}

void CommonConfig::InterruptForConfig() {
  if (!driver_ok_) return;
  isr_.fetch_or(kIsrConfig);
  if (MsiVector* vector = msix_.vector(config_vector_); vector != nullptr) vector->Signal();
}

}  // namespace berth::hw
