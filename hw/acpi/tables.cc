#include "hw/acpi/tables.h"

#include <numeric>

namespace berth::hw::acpi {
namespace {

constexpr size_t kHeaderSize = 36;

template <typename T>
void Append(std::string* bytes, T value) {
  const size_t at = bytes->size();
  bytes->resize(at + sizeof(T));
  StoreLe<T>(bytes->data() + at, value);
}

uint8_t Checksum(std::string_view bytes) {
  return static_cast<uint8_t>(-std::accumulate(
      bytes.begin(), bytes.end(), 0, [](int sum, char byte) { return sum + static_cast<uint8_t>(byte); }));
}

// A generic address structure (5.2.3.2) of one byte of I/O space.
std::string PortAddress(uint16_t port) {
  std::string bytes{1, 8, 0, 1};  // System I/O, 8 bits wide, at bit 0, byte access.
  Append<uint64_t>(&bytes, port);
  return bytes;
}

}  // namespace

std::string WithHeader(const char (&signature)[5], uint8_t revision, const std::string& body) {
  std::string table(signature, 4);
  Append(&table, static_cast<uint32_t>(kHeaderSize + body.size()));
  table += static_cast<char>(revision);
  table += '\0';  // The checksum, below.
  table += "BERTH ";
  table += "BERTHVMM";
  Append<uint32_t>(&table, 1);  // OEM revision.
  table += "BRTH";              // Creator.
  Append<uint32_t>(&table, 1);
  table += body;
  table[9] = static_cast<char>(Checksum(table));
  return table;
}

std::string BuildFadt(const Description& machine, uint64_t dsdt_address) {
  // Offsets of 5.2.9, less the header.
  std::string body(276 - kHeaderSize, '\0');
  const auto put = [&body](size_t offset, std::string_view bytes) {
    body.replace(offset - kHeaderSize, bytes.size(), bytes);
  };
  const auto put8 = [&](size_t offset, uint8_t value) {
    body[offset - kHeaderSize] = static_cast<char>(value);
  };
  constexpr uint8_t kCentury = 0x32;
  if (machine.port_rtc != 0) put8(108, kCentury);
  // IAPC_BOOT_ARCH: no VGA; no CMOS clock, if so; no 8042 and no legacy devices to look for.
  constexpr uint16_t kNoVga = 1 << 2, kNoCmosClock = 1 << 5;
  StoreLe<uint16_t>(&body[109 - kHeaderSize],
                    static_cast<uint16_t>(kNoVga | (machine.port_rtc == 0 ? kNoCmosClock : 0)));
  // Flags: WBINVD works, power and sleep button as control methods, reset register there, hardware-reduced.
  StoreLe<uint32_t>(&body[112 - kHeaderSize], 1u << 0 | 1u << 4 | 1u << 5 | 1u << 10 | 1u << 20);
  put(116, PortAddress(machine.port_reset));
  put8(128, machine.reset_value);
  put8(131, 5);  // Minor version: 6.5.
  StoreLe<uint64_t>(&body[140 - kHeaderSize], dsdt_address);
  put(244, PortAddress(machine.port_sleep_control));
  put(256, PortAddress(static_cast<uint16_t>(machine.port_sleep_control + 1)));
  put(268, "BerthVMM");  // Hypervisor vendor identity.
  return WithHeader("FACP", 6, body);
}

std::string BuildMadt(const Description& machine) {
  std::string body;
  Append(&body, machine.local_apic_address);
  Append<uint32_t>(&body, 0);  // No 8259s.
  for (size_t i = 0; i < machine.cpus.size(); ++i) {
    constexpr uint32_t kEnabled = 1;
    const uint32_t id = machine.cpus[i].apic_id;
    if (id < 255 && i < 255) {  // Processor local APIC (5.2.12.2).
      body += {0, 8, static_cast<char>(i), static_cast<char>(id)};
      Append(&body, kEnabled);
    } else {  // Processor local x2APIC (5.2.12.12).
      body += {9, 16, 0, 0};
      Append(&body, id);
      Append(&body, kEnabled);
      Append(&body, static_cast<uint32_t>(i));
    }
  }
  body += {1, 12, 0, 0};  // I/O APIC 0 (5.2.12.3), from interrupt 0.
  Append(&body, machine.io_apic_address);
  Append<uint32_t>(&body, 0);
  return WithHeader("APIC", 5, body);
}

std::string BuildMcfg(const Description& machine) {
  std::string body(8, '\0');
  Append(&body, machine.ecam.start);
  Append<uint16_t>(&body, 0);  // Segment.
  body += '\0';                // First and last bus.
  body += static_cast<char>(machine.ecam.size / kMiB - 1);
  Append<uint32_t>(&body, 0);
  return WithHeader("MCFG", 1, body);
}

std::string BuildSrat(const Description& machine) {
  std::string body;
  Append<uint32_t>(&body, 1);
  Append<uint64_t>(&body, 0);
  constexpr uint32_t kEnabled = 1;
  for (const Cpu& cpu : machine.cpus) {  // Processor local x2APIC affinity (5.2.16.3).
    body += {2, 24, 0, 0};
    Append(&body, cpu.node);
    Append(&body, cpu.apic_id);
    Append(&body, kEnabled);
    Append<uint64_t>(&body, 0);
  }
  for (const MemoryAffinity& memory : machine.memory) {  // Memory affinity (5.2.16.2).
    body += {1, 40};
    Append(&body, memory.node);
    Append<uint16_t>(&body, 0);
    Append(&body, memory.range.start);
    Append(&body, memory.range.size);
    Append<uint32_t>(&body, 0);
    Append(&body, kEnabled);
    Append<uint64_t>(&body, 0);
  }
  return WithHeader("SRAT", 3, body);
}

std::string BuildSlit(const Description& machine) {
  std::string body;
  Append<uint64_t>(&body, machine.nodes);
  for (uint32_t from = 0; from < machine.nodes; ++from) {
    for (uint32_t to = 0; to < machine.nodes; ++to) {
      const size_t index = size_t{from} * machine.nodes + to;
      const uint8_t distance = index < machine.distances.size() ? machine.distances[index]
                               : from == to                     ? 10
                                                                : 20;
      body += static_cast<char>(distance);
    }
  }
  return WithHeader("SLIT", 1, body);
}

Result<Tables> BuildTables(const Description& machine, uint64_t address, uint64_t max_size) {
  Tables tables;
  const auto place = [&](const std::string& table) {
    tables.bytes.resize(AlignUp(tables.bytes.size(), 16), '\0');
    const uint64_t at = address + tables.bytes.size();
    tables.bytes += table;
    return at;
  };
  std::string pointers;
  const uint64_t dsdt = place(BuildDsdt(machine));
  Append(&pointers, place(BuildFadt(machine, dsdt)));
  Append(&pointers, place(BuildMadt(machine)));
  Append(&pointers, place(BuildMcfg(machine)));
  if (machine.nodes > 1) {
    Append(&pointers, place(BuildSrat(machine)));
    Append(&pointers, place(BuildSlit(machine)));
  }
  const uint64_t xsdt = place(WithHeader("XSDT", 1, pointers));

  std::string rsdp = "RSD PTR ";  // 5.2.5.3
  rsdp += '\0';
  rsdp += "BERTH ";
  rsdp += '\x02';
  Append<uint32_t>(&rsdp, 0);  // No RSDT.
  rsdp[8] = static_cast<char>(Checksum(std::string_view(rsdp).substr(0, 20)));
  Append<uint32_t>(&rsdp, 36);
  Append(&rsdp, xsdt);
  Append<uint32_t>(&rsdp, 0);
  rsdp[32] = static_cast<char>(Checksum(rsdp));
  tables.rsdp_address = place(rsdp);
  if (tables.bytes.size() > max_size) {
    return Fail(Code::kResourceExhausted, "the machine's ACPI tables take {}, more than {}",
                HumanSize(tables.bytes.size()), HumanSize(max_size));
  }
  return tables;
}

}  // namespace berth::hw::acpi
