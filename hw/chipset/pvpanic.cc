#include "hw/chipset/pvpanic.h"

#include "hw/chipset/trace.h"

namespace berth::hw {

uint64_t Pvpanic::Read(uint64_t, unsigned size) {
  return size == 1 ? uint64_t{kPanicked | kCrashLoaded | kShutdown} : AllOnes(size);
}

void Pvpanic::Write(uint64_t, unsigned, uint64_t value) {
  const uint8_t events = value & (kPanicked | kCrashLoaded | kShutdown);
  trace::pvpanic_write(events);
  if (events != 0) report_(events);
}

}  // namespace berth::hw
