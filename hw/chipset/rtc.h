// The real-time clock: the Motorola MC146818A and its 128 bytes of CMOS memory, at ports 0x70 and 0x71. Time
// of day and storage; no alarm and no periodic interrupt.
#pragma once

#include <time.h>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/mutex.h"
#include "hw/memory/region.h"

namespace berth::hw {

class Rtc final : public IoHandler {
 public:
  static constexpr uint64_t kPorts = 2;
  // `now` gives seconds since the epoch, UTC. What the guest sets is kept as a difference to it; numbers that
  // no clock shows are ignored.
  explicit Rtc(std::function<int64_t()> now) : now_(std::move(now)) {}

  uint64_t Read(uint64_t offset, unsigned size) override;
  void Write(uint64_t offset, unsigned size, uint64_t value) override;

 private:
  // Of UTC, as the registers count: month, day and weekday from 1, the rest from 0.
  struct Date {
    int year, month, day, weekday;
    int hour, minute, second;
  };
  struct Field;
  static std::optional<Field> FieldOf(uint8_t index);
  static Date Split(int64_t seconds);
  static int64_t Join(const Date& date);

  Date Time() const REQUIRES(mutex_);
  uint8_t ReadRegister(uint8_t index) const REQUIRES(mutex_);
  void SetTimeField(uint8_t index, uint8_t value) REQUIRES(mutex_);
  void SetTime(const Date& time) REQUIRES(mutex_);

  const std::function<int64_t()> now_;
  Mutex mutex_;
  uint8_t index_ GUARDED_BY(mutex_) = 0;
  int64_t difference_s_ GUARDED_BY(mutex_) = 0;
  // While register B's SET bit is on the clock stands still and its fields need not make a date together.
  std::optional<Date> setting_ GUARDED_BY(mutex_);
  std::array<uint8_t, 128> cmos_ GUARDED_BY(mutex_){};
};

}  // namespace berth::hw
