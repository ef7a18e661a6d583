#include "hw/chipset/rtc.h"

#include <time.h>

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

}  // namespace

uint64_t Rtc::Read(uint64_t offset, unsigned size) {
  if (size != 1 || offset != 1) return AllOnes(size);
  MutexLock lock(mutex_);
  return ReadRegister(index_);
}

uint8_t Rtc::ReadRegister(uint8_t index) const {
  const time_t seconds = now_() + difference_s_;
  tm now{};
  ::gmtime_r(&seconds, &now);
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
  const time_t before = now_() + difference_s_;
  tm fields{};
  ::gmtime_r(&before, &fields);
  const int number = FromBcd(value);
  switch (index) {
    case kSeconds:
      fields.tm_sec = number;
      break;
    case kMinutes:
      fields.tm_min = number;
      break;
    case kHours:
      fields.tm_hour = number;
      break;
    case kDay:
      fields.tm_mday = number;
      break;
    case kMonth:
      fields.tm_mon = number - 1;
      break;
    case kYear:
      fields.tm_year = fields.tm_year / 100 * 100 + number;
      break;
    case kCentury:
      fields.tm_year = (number - 19) * 100 + fields.tm_year % 100;
      break;
    default:
      return;  // Alarms and the weekday.
  }
  difference_s_ += ::timegm(&fields) - before;
}

}  // namespace berth::hw
