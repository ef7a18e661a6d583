#include "hw/interrupt/kvm_interrupts.h"

#include <poll.h>

#include <atomic>
#include <vector>

#include "base/log.h"
#include "hw/interrupt/trace.h"

namespace berth::hw {

class KvmInterrupts::Vector final : public MsiVector {
 public:
  Vector(KvmInterrupts* owner, UniqueFd eventfd) : owner_(owner), eventfd_(std::move(eventfd)) {}
  ~Vector() override {
    Mask();
    if (gsi_ == kNone) return;
    MutexLock lock(owner_->mutex_);
    owner_->routes_.erase(gsi_);
    owner_->free_gsis_.insert(gsi_);
  }

  int eventfd() const override { return eventfd_.get(); }
  Status Unmask(const MsiMessage& message) override {
    MsiVector* const self = this;
    return owner_->UnmaskAll({&self, 1}, {&message, 1});
  }
  void Mask() override {
    if (masked_) return;
    const Status taken_off = owner_->vm_->SetIrqFd(eventfd_.get(), gsi_, false);
    if (!taken_off) LOG_ERROR("mask an interrupt: {}", taken_off.error().message());
    masked_ = true;
  }
  bool pending() const override {
    pollfd wait{eventfd_.get(), POLLIN, 0};
    return masked_ && ::poll(&wait, 1, 0) == 1;
  }
  bool masked() const override { return masked_; }

 private:
  friend class KvmInterrupts;
  static constexpr uint32_t kNone = 0;  // GSI 0 is the I/O APIC's.

  KvmInterrupts* const owner_;
  const UniqueFd eventfd_;
  uint32_t gsi_ = kNone;
  std::atomic<bool> masked_{true};
};

class KvmInterrupts::Line final : public IntxLine {
 public:
  Line(kvm::Vm* vm, uint32_t gsi, UniqueFd trigger, UniqueFd resample)
      : vm_(vm), gsi_(gsi), trigger_(std::move(trigger)), resample_(std::move(resample)) {}
  ~Line() override { Disable(); }

  int trigger_eventfd() const override { return trigger_.get(); }
  int resample_eventfd() const override { return resample_.get(); }
  Status Enable() override {
    if (enabled_) return Ok();
    TRY(vm_->SetIrqFd(trigger_.get(), gsi_, true, resample_.get()));
    enabled_ = true;
    return Ok();
  }
  void Disable() override {
    if (!enabled_) return;
    const Status taken_off = vm_->SetIrqFd(trigger_.get(), gsi_, false);
    if (!taken_off) LOG_ERROR("disconnect an interrupt line: {}", taken_off.error().message());
    enabled_ = false;
  }

 private:
  kvm::Vm* const vm_;
  const uint32_t gsi_;
  const UniqueFd trigger_, resample_;
  bool enabled_ = false;
};

Result<std::unique_ptr<MsiVector>> KvmInterrupts::CreateMsiVector() {
  return std::make_unique<Vector>(this, TRY(CreateEventFd()));
}

Result<std::unique_ptr<IntxLine>> KvmInterrupts::CreateIntxLine(uint32_t gsi) {
  if (gsi >= kvm::Vm::kIoApicPins) return Fail(Code::kInternal, "the I/O APIC has no pin {}", gsi);
  return std::make_unique<Line>(vm_, gsi, TRY(CreateEventFd()), TRY(CreateEventFd()));
}

Status KvmInterrupts::UnmaskAll(std::span<MsiVector* const> vectors, std::span<const MsiMessage> messages) {
  CHECK(vectors.size() == messages.size());
  MutexLock lock(mutex_);
  bool routes_changed = false;
  for (size_t i = 0; i < vectors.size(); ++i) {
    auto& vector = static_cast<Vector&>(*vectors[i]);
    if (vector.gsi_ == Vector::kNone) vector.gsi_ = TRY(TakeGsi());
    const auto [route, added] = routes_.try_emplace(vector.gsi_, messages[i]);
    routes_changed |= added || route->second != messages[i];
    route->second = messages[i];
  }
  // A vector that changes its message while unmasked is rerouted under its irqfd: KVM switches atomically.
  if (routes_changed) TRY(SetRoutes());
  for (MsiVector* abstract : vectors) {
    auto& vector = static_cast<Vector&>(*abstract);
    if (!vector.masked_) continue;
    TRY(vm_->SetIrqFd(vector.eventfd_.get(), vector.gsi_, true));
    vector.masked_ = false;
    trace::msi_unmasked(vector.gsi_, routes_.at(vector.gsi_).address, routes_.at(vector.gsi_).data);
    // What was pending KVM has seen, but left in the eventfd; what comes now it takes at once.
    DrainEventFd(vector.eventfd_.get());
  }
  return Ok();
}

void KvmInterrupts::SetLevel(uint32_t gsi, const void* driver, bool level) {
  MutexLock lock(mutex_);
  if (level) {
    held_high_.insert({gsi, driver});
  } else {
    held_high_.erase({gsi, driver});
  }
  const auto any = held_high_.lower_bound({gsi, nullptr});
  const bool high = any != held_high_.end() && any->first == gsi;
  trace::intx_level(gsi, level, high);
  const Status set = vm_->SetIrqLine(gsi, high);
  if (!set) LOG_WARNING_LIMITED("{}", set.error().message());
}

Result<uint32_t> KvmInterrupts::TakeGsi() {
  if (!free_gsis_.empty()) {
    const uint32_t gsi = *free_gsis_.begin();
    free_gsis_.erase(free_gsis_.begin());
    return gsi;
  }
  if (next_gsi_ >= vm_->max_routes()) {
    return Fail(Error(Code::kResourceExhausted,
                      fmt::format("all {} interrupt routes of the machine are in use", vm_->max_routes()))
                    .Reason("INTERRUPT_ROUTES_EXHAUSTED"));
  }
  return next_gsi_++;
}

Status KvmInterrupts::SetRoutes() {
  std::vector<kvm::MsiRoute> table;
  table.reserve(routes_.size());
  for (const auto& [gsi, message] : routes_) table.push_back({gsi, message.address, message.data});
  return vm_->SetRoutes(table);
}

}  // namespace berth::hw
