// A PCI function as its bus sees it: configuration accesses and reset. Emulated functions keep a ConfigSpace;
// an assigned one asks its hardware.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"
#include "hw/interrupt/interrupt.h"
#include "hw/memory/address_space.h"

namespace berth::hw {

// Device and function number on a bus: device << 3 | function.
using Devfn = uint8_t;
constexpr Devfn MakeDevfn(unsigned device, unsigned function) {
  return static_cast<Devfn>(device << 3 | function);
}

// What a function needs of addresses; the platform's layout (layout.h) answers with where it goes.
struct BarRequest {
  unsigned index = 0;  // 0 to 5; 6 is the expansion ROM.
  uint64_t size = 0;   // A power of two: at least 16 for memory, 4 for ports.
  bool io = false;
  bool is_64bit = false;
  bool prefetchable = false;
  uint64_t alignment = 0;  // More than `size` where it helps (1 GiB for maps in huge pages); 0 for `size`.
};

// The bus a function sits on, as the function sees it. Outlives the function.
class PciSlot {
 public:
  virtual ~PciSlot() = default;
  // The containers into which BARs are mapped, and the space to open transactions on.
  virtual AddressSpace& memory_space() = 0;
  virtual Region& memory() = 0;
  virtual AddressSpace& io_space() = 0;
  virtual Region& io() = 0;
  virtual InterruptController& interrupts() = 0;
  // The line that pin INTA (1) to INTD (4) of this slot is routed to.
  virtual uint32_t IntxGsi(uint8_t pin) const = 0;
  // False right under the host bridge (an integrated endpoint), true below a root port.
  virtual bool behind_root_port() const = 0;
};

// Threads: the host bridge serialises configuration accesses, resets and attachments of all functions.
class PciFunction {
 public:
  virtual ~PciFunction() = default;
  virtual const std::string& name() const = 0;
  // `offset` is below 4096, `size` 1, 2 or 4, aligned to it.
  virtual uint32_t ReadConfig(uint16_t offset, unsigned size) = 0;
  virtual void WriteConfig(uint16_t offset, unsigned size, uint32_t value) = 0;
  // To the state after power-on: BARs unmapped, interrupts off, the device quiet.
  virtual void Reset() = 0;
  virtual std::span<const BarRequest> bars() const = 0;
  // Called once, when the function is put into its slot; before that it is not accessed.
  virtual Status Attach(PciSlot* slot) = 0;
  // Called when it is taken off its bus: interrupts off, BARs unmapped, the slot not used any more. Accesses
  // to its BARs that are under way may still come; it is destroyed after the last
  // (AddressSpace::WaitForReaders).
  virtual void Detach() { Reset(); }
};

}  // namespace berth::hw
