#include "hw/interrupt/interrupt.h"

#include "base/unique_fd.h"

namespace berth::hw {

void MsiVector::Signal() const { SignalEventFd(eventfd()); }

}  // namespace berth::hw
