// Virtio over PCI, modern only: VIRTIO 1.2 section 4.1.
//
// One 64-bit memory BAR holds common configuration, ISR, device configuration and one doorbell a queue (an
// ioeventfd), with the MSI-X table and its pending bits behind them. No legacy interface, no INTx.
#pragma once

#include <memory>
#include <string>

#include "base/event_loop.h"
#include "hw/memory/guest_memory.h"
#include "hw/pci/function.h"
#include "hw/virtio/device.h"

namespace berth::hw {

// `memory` and `loop` outlive the function. The function owns the device and uses it on `loop`, which must be
// running (or not yet) in another thread than the vCPUs'.
Result<std::unique_ptr<PciFunction>> CreateVirtioPciFunction(std::string name,
                                                             std::unique_ptr<VirtioDevice> device,
                                                             const GuestMemory* memory, EventLoop* loop,
                                                             InterruptController* interrupts);

}  // namespace berth::hw
