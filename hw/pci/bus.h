// PCI buses, the bridge from the CPU to the first of them, and configuration accesses. PCI Local
// Bus 3.0, 3.2.2.3; PCI Express Base 5.0, 7.2.2 (ECAM).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "hw/memory/address_space.h"
#include "hw/pci/function.h"

namespace berth::hw {

// One bus: functions by number. Used under the host bridge's lock, but for what says otherwise.
class PciBus {
 public:
  static constexpr unsigned kMaxDevices = 32;

  struct Resources {
    AddressSpace* memory_space;
    Region* memory;  // Where BARs go.
    AddressSpace* io_space;
    Region* io;
    InterruptController* interrupts;
  };
  // `parent` and `parent_devfn`: the bridge this bus is behind, or nullptr for the root.
  PciBus(const Resources& resources, const PciBus* parent, Devfn parent_devfn);
  ~PciBus();

  // Puts a function in. ALREADY_EXISTS if the number is taken.
  Status Add(Devfn devfn, std::unique_ptr<PciFunction> function);

  // The same in two steps, for a machine that runs, and back. The first takes as long as the hardware does
  // and needs no lock: nobody sees the function yet.
  struct Card {
    Devfn devfn = 0;
    std::unique_ptr<PciSlot> slot;
    std::unique_ptr<PciFunction> function;  // Goes before its slot.
  };
  Result<Card> Prepare(Devfn devfn, std::unique_ptr<PciFunction> function) const;
  // The number is free.
  void Insert(Card card);
  // The function that is there, detached. Whoever destroys it waits for the readers of both address spaces
  // first, without the lock.
  Card Remove(Devfn devfn);

  PciFunction* Find(Devfn devfn) const;
  // Functions in order of their numbers.
  std::vector<std::pair<Devfn, PciFunction*>> functions() const;
  // The bus of this number, here or behind one of the bridges; nullptr if none has it now.
  PciBus* FindBus(uint8_t own_number, uint8_t number);
  // The line of a pin (1 to 4) of a device here, after the swizzle of every bridge above.
  uint32_t IntxGsi(unsigned device, uint8_t pin) const;
  const Resources& resources() const { return resources_; }
  bool is_root() const { return parent_ == nullptr; }

 private:
  class Slot;
  const Resources resources_;
  const PciBus* const parent_;
  const Devfn parent_devfn_;
  std::map<Devfn, Card> cards_;
};

// Guest addresses behind a bridge, in bytes: 32-bit memory, 64-bit prefetchable memory, ports.
struct WindowSizes {
  uint64_t memory = 0, prefetchable = 0, io = 0;
};

// A function with a bus behind it.
class PciBridge : public PciFunction {
 public:
  virtual PciBus& secondary() = 0;
  // As the guest (or the platform) programmed them.
  virtual uint8_t secondary_number() const = 0;
  virtual uint8_t subordinate_number() const = 0;
  // Whether anything behind it can be reached.
  virtual bool link_up() const = 0;
  // What to keep free behind it, at least, for devices that are plugged in later.
  virtual const WindowSizes& reserved() const = 0;
};

// The root of it all. Its handlers go to the ECAM window and to ports 0xcf8 to 0xcff; every access takes one
// lock, so functions see one at a time.
class PciHostBridge {
 public:
  explicit PciHostBridge(const PciBus::Resources& resources);

  PciBus& root() { return root_; }
  IoHandler* ecam_handler();
  IoHandler* port_handler();
  // Resets every function, endpoints first.
  void Reset();
  // Runs `work` while no configuration access is under way.
  template <typename Work>
  auto Locked(Work work) {
    MutexLock lock(mutex_);
    return work();
  }

  uint32_t ReadConfig(uint8_t bus, Devfn devfn, uint16_t offset, unsigned size) EXCLUDES(mutex_);
  void WriteConfig(uint8_t bus, Devfn devfn, uint16_t offset, unsigned size, uint32_t value) EXCLUDES(mutex_);

 private:
  class Ecam;
  class Ports;
  PciFunction* Find(uint8_t bus, Devfn devfn) REQUIRES(mutex_);

  Mutex mutex_;
  PciBus root_;
  std::unique_ptr<IoHandler> ecam_, ports_;
};

}  // namespace berth::hw
