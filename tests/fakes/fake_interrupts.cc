#include "tests/fakes/fake_interrupts.h"

namespace berth::hw {
namespace {

class FakeIntxLine final : public IntxLine {
 public:
  FakeIntxLine(UniqueFd trigger, UniqueFd resample)
      : trigger_(std::move(trigger)), resample_(std::move(resample)) {}
  int trigger_eventfd() const override { return trigger_.get(); }
  int resample_eventfd() const override { return resample_.get(); }
  Status Enable() override { return Ok(); }
  void Disable() override {}

 private:
  const UniqueFd trigger_, resample_;
};

}  // namespace

FakeMsiVector::~FakeMsiVector() { owner_->vectors_[number_] = nullptr; }

Status FakeMsiVector::Unmask(const MsiMessage& message) {
  TRY(owner_->Count("unmask"));
  message_ = message;
  masked_ = false;
  return Ok();
}

Status FakeInterrupts::Count(const char* what) {
  if (fail_call != 0 && --fail_call == 0) {
    return Fail(Code::kResourceExhausted, "the fake was told to fail this {}", what);
  }
  return Ok();
}

Result<std::unique_ptr<MsiVector>> FakeInterrupts::CreateMsiVector() {
  TRY(Count("vector"));
  auto vector =
      std::make_unique<FakeMsiVector>(this, static_cast<unsigned>(vectors_.size()), TRY(CreateEventFd()));
  vectors_.push_back(vector.get());
  return vector;
}

Result<std::unique_ptr<IntxLine>> FakeInterrupts::CreateIntxLine(uint32_t) {
  TRY(Count("line"));
  return std::make_unique<FakeIntxLine>(TRY(CreateEventFd()), TRY(CreateEventFd()));
}

Status FakeInterrupts::UnmaskAll(std::span<MsiVector* const> vectors, std::span<const MsiMessage> messages) {
  ++unmask_all_calls;
  TRY(Count("batch"));
  for (size_t i = 0; i < vectors.size(); ++i) {
    auto& vector = static_cast<FakeMsiVector&>(*vectors[i]);
    vector.message_ = messages[i];
    vector.masked_ = false;
  }
  return Ok();
}

}  // namespace berth::hw
