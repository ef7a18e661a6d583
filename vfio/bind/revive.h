// Whether a PCI function is still there, and bringing one back that is not.
#pragma once

#include "base/error.h"
#include "host/control/control.h"
#include "host/pci_address.h"

namespace berth::vfio {

// Asks its configuration space, for a second if need be: it reads all ones where nothing answers, and for a
// while after a reset. FAILED_PRECONDITION, DEVICE_LOST.
// NOT_FOUND, DEVICE_NOT_FOUND. A function whose configuration space we may not read is believed to be there.
Status CheckAnswers(const host::HostRoots& roots, const host::PciAddress& address);

// Resets the function by the kernel's methods (Documentation/ABI/testing/sysfs-bus-pci, "reset"), then looks
// whether it answers. FAILED_PRECONDITION: NO_RESET_METHOD; RESET_FAILED; DEVICE_LOST. DEADLINE_EXCEEDED,
// RESET_TIMED_OUT. NOT_FOUND, DEVICE_NOT_FOUND.
Status ResetFunction(const host::HostControl& control, const host::PciAddress& address);

}  // namespace berth::vfio
