#include "tests/fakes/fake_interrupts.h"

namespace berth::hw {
FakeMsiVector::~FakeMsiVector() { owner_->vectors_[number_] = nullptr; }

Status FakeMsiVector::Unmask(const MsiMessage& message) {
  TRY(owner_->Count("unmask"));
  message_ = message;
  masked_ = false;
  return Ok();
}

FakeIntxLine::~FakeIntxLine() {
  if (owner_->line_ == this) owner_->line_ = nullptr;
}

Status FakeIntxLine::Enable() {
  TRY(owner_->Count("line"));
  enabled_ = true;
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

Result<std::unique_ptr<IntxLine>> FakeInterrupts::CreateIntxLine(uint32_t gsi) {
  TRY(Count("line"));
  auto line = std::make_unique<FakeIntxLine>(this, gsi, TRY(CreateEventFd()), TRY(CreateEventFd()));
  line_ = line.get();
  return line;
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
