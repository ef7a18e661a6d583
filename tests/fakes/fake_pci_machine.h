// A host bridge with address spaces of its own, and readers of them: what a guest's CPU sees of PCI.
#pragma once

#include "hw/memory/address_map.h"
#include "hw/pci/bus.h"
#include "hw/pci/layout.h"
#include "hw/pci/root_port.h"
#include "tests/fakes/fake_interrupts.h"

namespace berth::hw {

struct FakePciMachine {
  uint32_t Read(uint8_t bus, Devfn devfn, uint16_t offset, unsigned size) {
    return bridge.ReadConfig(bus, devfn, offset, size);
  }
  void Write(uint8_t bus, Devfn devfn, uint16_t offset, unsigned size, uint32_t value) {
    bridge.WriteConfig(bus, devfn, offset, size, value);
  }
  // Puts a root port on the root bus.
  RootPort& AddRootPort(unsigned device, const RootPortOptions& more = {}) {
    RootPortOptions options = more;
    options.name = fmt::format("port{}", device);
    options.port_number = static_cast<uint8_t>(device);
    options.devfn = MakeDevfn(device, 0);
    auto port = CreateRootPort(options, bridge.root());
    RootPort& added = *port;
    CHECK(bridge.root().Add(options.devfn, std::move(port)));
    return added;
  }

  static constexpr uint64_t kMemorySize = uint64_t{1} << 46;
  static constexpr Range kMemory64 = {64 * kGiB, 1024 * kGiB};
  AddressSpace memory{"memory", kMemorySize}, ports{"ports", 0x10000};
  FakeInterrupts interrupts;
  PciHostBridge bridge{{&memory, &memory.root(), &ports, &ports.root(), &interrupts}};
  ViewReader memory_reader{memory}, port_reader{ports};
};

}  // namespace berth::hw
