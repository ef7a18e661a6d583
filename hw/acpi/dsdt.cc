// The DSDT: what the guest cannot enumerate by itself.

#include <algorithm>
#include <optional>

#include "hw/acpi/aml.h"
#include "hw/acpi/tables.h"

namespace berth::hw::acpi {
namespace {

using namespace aml;

// _PRT for every device and pin of bus 0: 6.2.13, without link devices.
Term InterruptRouting(const Description& machine) {
  std::vector<Term> entries;
  for (uint32_t device = 0; device < 32; ++device) {
    for (uint32_t pin = 0; pin < 4; ++pin) {
      const uint32_t gsi = machine.first_pci_gsi + (device + pin) % machine.pci_gsi_count;
      entries.push_back(
          Package({Integer(uint64_t{device} << 16 | 0xffff), Integer(pin), Integer(0), Integer(gsi)}));
    }
  }
  return Name("_PRT", Package(entries));
}

// _OSC (6.2.11): the guest may have native control of everything it asks for, hot plug and error reporting
// included, since no firmware contends for it.
Term OperatingSystemCapabilities() { return Method("_OSC", 4, Return(Arg(3))); }

// Linux takes a device's node from the root's _PXM alone, so the root has what all of them have.
std::optional<uint32_t> NodeOfAll(const std::vector<PciNode>& devices) {
  const auto elsewhere = [&](const PciNode& device) { return device.node != devices.front().node; };
  if (devices.empty() || std::any_of(devices.begin(), devices.end(), elsewhere)) return std::nullopt;
  return devices.front().node;
}

Term PciRoot(const Description& machine) {
  Term body = Name("_HID", EisaId("PNP0A08")) + Name("_CID", EisaId("PNP0A03")) + Name("_SEG", Integer(0)) +
              Name("_UID", Integer(0)) + Name("_BBN", Integer(0)) + Name("_CCA", Integer(1));
  std::vector<Term> windows = {BusNumbers(0, static_cast<uint16_t>(machine.ecam.size / kMiB - 1)),
                               IoPorts(0xcf8, 8), PortWindow(machine.ports), MemoryWindow32(machine.mmio32)};
  if (machine.mmio64.size != 0) windows.push_back(MemoryWindow64(machine.mmio64));
  if (const auto node = NodeOfAll(machine.pci_nodes)) body += Name("_PXM", Integer(*node));
  body += Name("_CRS", ResourceTemplate(windows)) + InterruptRouting(machine) + OperatingSystemCapabilities();
  for (const PciNode& device : machine.pci_nodes) {
    const uint64_t address = uint64_t{device.devfn} >> 3 << 16 | (device.devfn & 7);
    body += Device(fmt::format("S{:02X}_", device.devfn),
                   Name("_ADR", Integer(address)) + Name("_PXM", Integer(device.node)));
  }
  return Device("PCI0", body);
}

// The ECAM window belongs to the board, so that nothing else is put there.
Term Board(const Description& machine) {
  return Device(
      "MRES", Name("_HID", EisaId("PNP0C02")) +
                  Name("_CRS", ResourceTemplate({Memory32Fixed(static_cast<uint32_t>(machine.ecam.start),
                                                               static_cast<uint32_t>(machine.ecam.size))})));
}

Term Serial(const Description& machine) {
  return Device("COM1", Name("_HID", EisaId("PNP0501")) + Name("_UID", Integer(0)) +
                            Name("_CRS", ResourceTemplate({IoPorts(machine.port_serial, 8),
                                                           Interrupt(machine.gsi_serial, false)})));
}

Term Clock(const Description& machine) {
  return Device("RTC_", Name("_HID", EisaId("PNP0B00")) +
                            Name("_CRS", ResourceTemplate({IoPorts(machine.port_rtc, 2)})));
}

Term Pvpanic(const Description& machine) {
  return Device("PEVT", Name("_HID", String("QEMU0001")) + Name("_STA", Integer(0xf)) +
                            Name("_CRS", ResourceTemplate({IoPorts(machine.port_pvpanic, 1)})));
}

// The power button, and the generic event device that tells of it (5.6.9).
Term Events(const Description& machine) {
  const Term button = Device("PWRB", Name("_HID", EisaId("PNP0C0C")));
  const Term pressed =
      Equal(And(Local(0), Integer(machine.event_power_button)), Integer(machine.event_power_button));
  const Term body =
      Name("_HID", String("ACPI0013")) + Name("_UID", Integer(0)) +
      Name("_CRS", ResourceTemplate({Interrupt(machine.gsi_events, true)})) +
      PortRegion("EREG", static_cast<uint16_t>(machine.port_sleep_control + 2), 1) +
      ByteField("EREG", {"EVTS"}) +
      Method("_EVT", 1, Store(Path("EVTS"), Local(0)) + If(pressed, Notify(Path("\\_SB_.PWRB"), 0x80)));
  return button + Device("GED_", body);
}

Term Processors(const Description& machine) {
  Term all;
  for (size_t i = 0; i < machine.cpus.size(); ++i) {
    Term body = Name("_HID", String("ACPI0007")) + Name("_UID", Integer(i));
    if (machine.nodes > 1) body += Name("_PXM", Integer(machine.cpus[i].node));
    all += Device(fmt::format("C{:03X}", i), body);
  }
  return all;
}

}  // namespace

std::string BuildDsdt(const Description& machine) {
  Term devices = Board(machine) + PciRoot(machine) + Events(machine) + Processors(machine);
  if (machine.port_serial != 0) devices += Serial(machine);
  if (machine.port_rtc != 0) devices += Clock(machine);
  if (machine.port_pvpanic != 0) devices += Pvpanic(machine);
  const Term soft_off =
      Name("\\_S5_", Package({Integer(machine.sleep_type_s5), Integer(0), Integer(0), Integer(0)}));
  return WithHeader("DSDT", 2, Scope("\\_SB_", devices) + soft_off);
}

}  // namespace berth::hw::acpi
