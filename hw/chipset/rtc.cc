#include "hw/chipset/rtc.h"

namespace berth::hw {
namespace {

// Registers of the MC146818A; the century is at 0x32 (ACPI's FADT says so).
constexpr uint8_t kSeconds = 0, kMinutes = 2, kHours = 4, kWeekday = 6, kDay = 7, kMonth = 8, kYear = 9,
                  kStatusA = 0xa, kStatusB = 0xb, kStatusC = 0xc, kStatusD = 0xd, kCentury = 0x32;
constexpr uint8_t kRate = 0x26;     // 32.768 kHz, 1024 Hz; no update in progress, ever.
constexpr uint8_t kHours24 = 0x02;  // 24 hours; binary-coded decimal.
constexpr uint8_t kSet = 0x80;      // Register B: the fields are being written.
constexpr uint8_t kPowerGood = 0x80;
constexpr int kFirstCentury = 19;  // struct tm counts from 1900.

uint8_t ToBcd(int value) { return static_cast<uint8_t>(value / 10 % 10 << 4 | value % 10); }
int FromBcd(uint8_t value) { return (value >> 4) * 10 + (value & 0xf); }

// A field of the date: where it is kept, what is added to it there, and what the guest may write.
struct Field {
  int tm::*member;
  int least, most, bias;
};
std::optional<Field> FieldOf(uint8_t index) {
  switch (index) {
    case kSeconds:
      return Field{&tm::tm_sec, 0, 59, 0};
    case kMinutes:
      return Field{&tm::tm_min, 0, 59, 0};
    case kHours:
      return Field{&tm::tm_hour, 0, 23, 0};
    case kDay:
      return Field{&tm::tm_mday, 1, 31, 0};
    case kMonth:
      return Field{&tm::tm_mon, 1, 12, -1};
    default:
      return std::nullopt;
  }
}

}  // namespace

tm Rtc::Time() const {
  if (setting_) return *setting_;
  const time_t seconds = now_() + difference_s_;
  tm time{};
  ::gmtime_r(&seconds, &time);
  return time;
}

void Rtc::SetTime(const tm& time) {
  tm copy = time;
  difference_s_ = ::timegm(&copy) - now_();
}

uint64_t Rtc::Read(uint64_t offset, unsigned size) {
  if (size != 1 || offset != 1) return AllOnes(size);
  MutexLock lock(mutex_);
  return ReadRegister(index_);
}

uint8_t Rtc::ReadRegister(uint8_t index) const {
  const tm now = Time();
  switch (index) {
    case kSeconds:
      return ToBcd(now.tm_sec);
    case kMinutes:
      return ToBcd(now.tm_min);
    case kHours:
      return ToBcd(now.tm_hour);
    case kWeekday:
      return ToBcd(now.tm_wday + 1);
    case kDay:
      return ToBcd(now.tm_mday);
    case kMonth:
      return ToBcd(now.tm_mon + 1);
    case kYear:
      return ToBcd(now.tm_year % 100);
    case kCentury:
      return ToBcd((now.tm_year + 1900) / 100);
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
  tm time = Time();
  const int number = FromBcd(value);
  if ((value & 0xf) > 9 || value >> 4 > 9) return;
  if (const std::optional<Field> field = FieldOf(index)) {
    if (number < field->least || number > field->most) return;
    time.*field->member = number + field->bias;
  } else if (index == kYear) {
    time.tm_year = time.tm_year / 100 * 100 + number;
  } else if (index == kCentury && number >= kFirstCentury) {
    time.tm_year = (number - kFirstCentury) * 100 + time.tm_year % 100;
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
