#include "hw/chipset/rtc.h"

#include <chrono>

namespace berth::hw {
namespace {

// Registers of the MC146818A; the century is at 0x32 (ACPI's FADT says so).
constexpr uint8_t kSeconds = 0, kMinutes = 2, kHours = 4, kWeekday = 6, kDay = 7, kMonth = 8, kYear = 9,
                  kStatusA = 0xa, kStatusB = 0xb, kStatusC = 0xc, kStatusD = 0xd, kCentury = 0x32;
constexpr uint8_t kRate = 0x26;     // 32.768 kHz, 1024 Hz; no update in progress, ever.
constexpr uint8_t kHours24 = 0x02;  // 24 hours; binary-coded decimal.
constexpr uint8_t kPowerGood = 0x80;

uint8_t ToBcd(int value) { return static_cast<uint8_t>(value / 10 % 10 << 4 | value % 10); }
int FromBcd(uint8_t value) { return (value >> 4) * 10 + (value & 0xf); }

// The calendar of UTC. The C library's would open the host's time zone, which a confined thread may not.
struct Time {
  int year, month, day, weekday, hour, minute, second;
};

Time Split(int64_t seconds) {
  using namespace std::chrono;
  const sys_seconds now{std::chrono::seconds(seconds)};
  const sys_days today = floor<days>(now);
  const year_month_day date(today);
  const hh_mm_ss clock(now - today);
  return {.year = static_cast<int>(date.year()),
          .month = static_cast<int>(static_cast<unsigned>(date.month())),
          .day = static_cast<int>(static_cast<unsigned>(date.day())),
          .weekday = static_cast<int>(weekday(today).c_encoding()) + 1,
          .hour = static_cast<int>(clock.hours().count()),
          .minute = static_cast<int>(clock.minutes().count()),
          .second = static_cast<int>(clock.seconds().count())};
}

// Fields beyond their range, the weekday aside, count on: 61 minutes are an hour and a minute.
int64_t Join(const Time& time) {
  using namespace std::chrono;
  const year_month month = year(time.year) / January + months(time.month - 1);
  const sys_seconds sum = sys_days(month / 1) + days(time.day - 1) + hours(time.hour) + minutes(time.minute) +
                          std::chrono::seconds(time.second);
  return sum.time_since_epoch().count();
}

}  // namespace

uint64_t Rtc::Read(uint64_t offset, unsigned size) {
  if (size != 1 || offset != 1) return AllOnes(size);
  MutexLock lock(mutex_);
  return ReadRegister(index_);
}

uint8_t Rtc::ReadRegister(uint8_t index) const {
  const Time now = Split(now_() + difference_s_);
  switch (index) {
    case kSeconds:
      return ToBcd(now.second);
    case kMinutes:
      return ToBcd(now.minute);
    case kHours:
      return ToBcd(now.hour);
    case kWeekday:
      return ToBcd(now.weekday);
    case kDay:
      return ToBcd(now.day);
    case kMonth:
      return ToBcd(now.month);
    case kYear:
      return ToBcd(now.year % 100);
    case kCentury:
      return ToBcd(now.year / 100);
    case kStatusA:
      return kRate;
    case kStatusB:
      return kHours24;
    case kStatusC:
      return 0;
    case kStatusD:
      return kPowerGood;
    default:
      return cmos_[index];
  }
}

void Rtc::Write(uint64_t offset, unsigned size, uint64_t value) {
  if (size != 1) return;
  MutexLock lock(mutex_);
  if (offset == 0) {
    index_ = value & 0x7f;  // Bit 7 masks NMIs, of which there are none.
    return;
  }
  const auto byte = static_cast<uint8_t>(value);
  if (index_ <= kYear || index_ == kCentury) return SetTimeField(index_, byte);
  if (index_ > kStatusD) cmos_[index_] = byte;
}

void Rtc::SetTimeField(uint8_t index, uint8_t value) {
  const int64_t before = now_() + difference_s_;
  Time time = Split(before);
  const int number = FromBcd(value);
  switch (index) {
    case kSeconds:
      time.second = number;
      break;
    case kMinutes:
      time.minute = number;
      break;
    case kHours:
      time.hour = number;
      break;
    case kDay:
      time.day = number;
      break;
    case kMonth:
      time.month = number;
      break;
    case kYear:
      time.year = time.year / 100 * 100 + number;
      break;
    case kCentury:
      time.year = number * 100 + time.year % 100;
      break;
    default:
      return;  // Alarms and the weekday.
  }
  difference_s_ += Join(time) - before;
}

}  // namespace berth::hw
