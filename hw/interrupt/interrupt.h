// How devices interrupt the guest. Interfaces, so that devices are tested without KVM; the KVM-backed
// implementation is kvm_interrupts.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/error.h"

namespace berth::hw {

// What a device writes to interrupt: PCI Local Bus Specification 3.0, 6.8.1 (MSI), 6.8.2 (MSI-X).
struct MsiMessage {
  uint64_t address = 0;
  uint32_t data = 0;
  friend bool operator==(const MsiMessage&, const MsiMessage&) = default;
};

// One message-signalled vector: an eventfd that, while the vector is unmasked, makes the hypervisor deliver
// `message`.
//
// The eventfd lives as long as the vector, so VFIO, vhost and I/O threads signal it without us. While the
// vector is masked a signal stays in the eventfd (that is the pending bit) and is delivered at Unmask. A
// vector that was never unmasked costs no interrupt route and no irqfd.
class MsiVector {
 public:
  virtual ~MsiVector() = default;
  virtual int eventfd() const = 0;
  // Sets or changes the message and lets signals through. Any thread; calls for one vector do not overlap.
  virtual Status Unmask(const MsiMessage& message) = 0;
  virtual void Mask() = 0;
  // Whether a signal waits behind the mask.
  virtual bool pending() const = 0;
  virtual bool masked() const = 0;
  // Interrupts the guest, or becomes pending. Any thread.
  void Signal() const;
};

// One level-triggered line (a pin of the I/O APIC, shared with other devices).
class IntxLine {
 public:
  virtual ~IntxLine() = default;
  // Signalling it asserts the line; the line is deasserted when the guest acknowledges the interrupt (EOI).
  virtual int trigger_eventfd() const = 0;
  // Signalled at that EOI: whoever still has a cause asserts again (VFIO unmasks the device).
  virtual int resample_eventfd() const = 0;
  // Connects both eventfds to the line, or takes them off.
  virtual Status Enable() = 0;
  virtual void Disable() = 0;
};

// Where vectors and lines come from. Any thread.
class InterruptController {
 public:
  virtual ~InterruptController() = default;
  virtual Result<std::unique_ptr<MsiVector>> CreateMsiVector() = 0;
  virtual Result<std::unique_ptr<IntxLine>> CreateIntxLine(uint32_t gsi) = 0;
  // Unmasks many vectors with one update of the route table; messages[i] belongs to vectors[i].
  virtual Status UnmaskAll(std::span<MsiVector* const> vectors, std::span<const MsiMessage> messages) = 0;
  // Sets the level of a line without eventfds. It is high as long as any `driver` (any address that is the
  // driver's alone) holds it so.
  virtual void SetLevel(uint32_t gsi, const void* driver, bool level) = 0;
};

}  // namespace berth::hw
