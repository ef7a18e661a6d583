// How many calls of a kind that occupies a thread, or a console, there may be at once.
#pragma once

#include <atomic>

#include "base/error.h"

namespace berth::server {

class CallLimit {
 public:
  explicit CallLimit(int most) : most_(most) {}

  class Place {
   public:
    explicit Place(CallLimit* limit) : limit_(limit) {}
    Place(Place&& other) noexcept : limit_(std::exchange(other.limit_, nullptr)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (limit_ != nullptr) --limit_->taken_;
    }

   private:
    CallLimit* limit_;
  };

  // RESOURCE_EXHAUSTED, TOO_MANY_CALLS.
  Result<Place> Take() {
    if (++taken_ <= most_) return Place(this);
    --taken_;
    return Fail(Error(Code::kResourceExhausted, fmt::format("there are {} calls of this kind already", most_))
                    .Reason("TOO_MANY_CALLS")
                    .With("limit", std::to_string(most_)));
  }

 private:
  const int most_;
  std::atomic<int> taken_{0};
};

}  // namespace berth::server
