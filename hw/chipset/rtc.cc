#include "hw/chipset/rtc.h"

#include <chrono>

namespace berth::hw {
namespace {

// Registers of the MC146818A; the century is at 0x32 (ACPI's FADT says so).
constexpr uint8_t kSeconds = 0, kMinutes = 2, kHours = 4, kWeekday = 6, kDay = 7, kMonth = 8, kYear = 9,
                  kStatusA = 0xa, kStatusB = 0xb, kStatusC = 0xc, kStatusD = 0xd, kCentury = 0x32;
constexpr uint8_t kRate = 0x26;     // 32.768 kHz, 1024 Hz; no update in progress, ever.
constexpr uint8_t kHours24 = 0x02;  // 24 hours; binary-coded decimal.
constexpr uint8_t kSet = 0x80;      // Register B: the fields are being written.
constexpr uint8_t kPowerGood = 0x80;
constexpr int kFirstCentury = 19;

uint8_t ToBcd(int value) { return static_cast<uint8_t>(value / 10 % 10 << 4 | value % 10); }
int FromBcd(uint8_t value) { return (value >> 4) * 10 + (value & 0xf); }

}  // namespace

// A field of the date, and what the guest may write to it.
struct Rtc::Field {
  int Date::*member;
  int least, most;
};

std::optional<Rtc::Field> Rtc::FieldOf(uint8_t index) {
  switch (index) {
    case kSeconds:
      return Field{&Date::second, 0, 59};
    case kMinutes:
      return Field{&Date::minute, 0, 59};
    case kHours:
      return Field{&Date::hour, 0, 23};
    case kDay:
      return Field{&Date::day, 1, 31};
    case kMonth:
      return Field{&Date::month, 1, 12};
    default:
      return std::nullopt;
  }
}

// Not the C library's calendar: that would open the host's time zone, which a confined thread may not.
Rtc::Date Rtc::Split(int64_t seconds) {
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

// Days beyond the month's end count on: the 31st of April is the 1st of May.
int64_t Rtc::Join(const Date& date) {
  using namespace std::chrono;
  const sys_days month = year(date.year) / date.month / 1;
  const sys_seconds sum =
      month + days(date.day - 1) + hours(date.hour) + minutes(date.minute) + seconds(date.second);
  return sum.time_since_epoch().count();
}

Rtc::Date Rtc::Time() const { return setting_ ? *setting_ : Split(now_() + difference_s_); }

void Rtc::SetTime(const Date& time) { difference_s_ = Join(time) - now_(); }

uint64_t Rtc::Read(uint64_t offset, unsigned size) {
  if (size != 1 || offset != 1) return AllOnes(size);
  MutexLock lock(mutex_);
  return ReadRegister(index_);
}

uint8_t Rtc::ReadRegister(uint8_t index) const {
  const Date now = Time();
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
      return kHours24 | (setting_ ? kSet : 0);
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
  if (index_ == kStatusB) {
    if (!(byte & kSet)) {
      if (setting_) SetTime(*setting_);
      setting_.reset();
    } else if (!setting_) {
      setting_ = Time();
    }
    return;
  }
  if (index_ > kStatusD) cmos_[index_] = byte;
}

void Rtc::SetTimeField(uint8_t index, uint8_t value) {
  Date time = Time();
  const int number = FromBcd(value);
  if ((value & 0xf) > 9 || value >> 4 > 9) return;
  if (const std::optional<Field> field = FieldOf(index)) {
    if (number < field->least || number > field->most) return;
    time.*field->member = number;
  } else if (index == kYear) {
    time.year = time.year / 100 * 100 + number;
  } else if (index == kCentury && number >= kFirstCentury) {
    time.year = number * 100 + time.year % 100;
  } else {
    return;  // Alarms and the weekday.
  }
  if (setting_) {
    setting_ = time;
  } else {
    SetTime(time);
  }
}

}  // namespace berth::hw
