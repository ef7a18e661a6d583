// The ACPI tables of a machine, from a description of it. Pure. ACPI 6.5 chapter 5; hardware-reduced (4.1).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace berth::hw::acpi {

struct Cpu {
  uint32_t apic_id = 0;
  uint32_t node = 0;
};

struct MemoryAffinity {
  Range range;
  uint32_t node = 0;
};

// A device of bus 0, or a root port whose devices share its node.
struct PciNode {
  uint8_t devfn = 0;
  uint32_t node = 0;
};

struct Description {
  std::vector<Cpu> cpus;
  std::vector<MemoryAffinity> memory;
  uint32_t nodes = 1;              // SRAT and SLIT only where there are more.
  std::vector<uint8_t> distances;  // nodes x nodes, row by row; empty for 10 and 20.
  std::vector<PciNode> pci_nodes;  // Get _PXM; the root too, if all are on one node.
  Range ecam;                      // 1 MiB a bus.
  Range mmio32, mmio64, ports;     // Windows of the PCI root.
  uint32_t io_apic_address = 0, local_apic_address = 0;
  uint32_t first_pci_gsi = 0, pci_gsi_count = 0;
  uint16_t port_sleep_control = 0;  // Sleep control, sleep status, events: three ports.
  uint16_t port_reset = 0;
  uint8_t reset_value = 0;
  uint8_t sleep_type_s5 = 0;
  uint32_t gsi_events = 0;
  uint8_t event_power_button = 0;                            // Its bit in the event port.
  uint16_t port_serial = 0, port_rtc = 0, port_pvpanic = 0;  // 0: not there.
  uint32_t gsi_serial = 0, gsi_rtc = 0;
};

struct Tables {
  std::string bytes;          // To be put at the address the tables were made for.
  uint64_t rsdp_address = 0;  // For the boot protocol.
};

// All tables, linked, for memory at `address` (16-byte aligned). RESOURCE_EXHAUSTED if they take more than
// `max_size`.
Result<Tables> BuildTables(const Description& description, uint64_t address, uint64_t max_size);

// One by one, whole with header and checksum; for tests and for BuildTables.
std::string BuildDsdt(const Description& description);
std::string BuildFadt(const Description& description, uint64_t dsdt_address);
std::string BuildMadt(const Description& description);
std::string BuildMcfg(const Description& description);
std::string BuildSrat(const Description& description);
std::string BuildSlit(const Description& description);

// A table of `body` under the header of 5.2.6.
std::string WithHeader(const char (&signature)[5], uint8_t revision, const std::string& body);

}  // namespace berth::hw::acpi
