#include "hw/acpi/tables.h"

#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::hw::acpi {
namespace {

using testing::HasSubstr;

Description Machine() {
  return {.cpus = {{0, 0}, {1, 0}, {300, 1}},
          .memory = {{{0, kGiB}, 0}, {{4 * kGiB, kGiB}, 1}},
          .nodes = 2,
          .distances = {},
          .pci_nodes = {{0x18, 1}},
          .ecam = {0xe0000000, 0x10000000},
          .mmio32 = {0xc0000000, 0x20000000},
          .mmio64 = {64 * kGiB, 64 * kGiB},
          .ports = {0x1000, 0xf000},
          .io_apic_address = 0xfec00000,
          .local_apic_address = 0xfee00000,
          .first_pci_gsi = 16,
          .pci_gsi_count = 8,
          .port_sleep_control = 0x600,
          .port_reset = 0xcf9,
          .reset_value = 6,
          .sleep_type_s5 = 5,
          .gsi_events = 5,
          .event_power_button = 1,
          .port_serial = 0x3f8,
          .port_rtc = 0x70,
          .port_pvpanic = 0x505,
          .gsi_serial = 4,
          .gsi_rtc = 8};
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Disassembles a table with ACPICA's iasl and, for AML, compiles it again: its source, or its complaint.
std::string Disassemble(const std::string& table, bool recompile) {
  char directory[] = "/tmp/berth-acpi-XXXXXX";
  EXPECT_NE(::mkdtemp(directory), nullptr);
  const std::filesystem::path path(directory);
  std::ofstream(path / "table.dat") << table;
  std::string command = "cd " + path.string() + " && iasl -d table.dat >log 2>&1";
  if (recompile) command += " && iasl -we -p again table.dsl >>log 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0) << ReadFile(path / "log") << ReadFile(path / "table.dsl");
  const std::string source = ReadFile(path / "table.dsl");
  std::filesystem::remove_all(path);
  return source;
}

TEST(Acpi, EveryTableSumsToZeroAndKnowsItsLength) {
  const Description machine = Machine();
  for (const std::string& table : {BuildDsdt(machine), BuildFadt(machine, 0xe0000), BuildMadt(machine),
                                   BuildMcfg(machine), BuildSrat(machine), BuildSlit(machine)}) {
    EXPECT_EQ(std::accumulate(table.begin(), table.end(), uint8_t{0}), 0) << table.substr(0, 4);
    EXPECT_EQ(LoadLe<uint32_t>(table.data() + 4), table.size()) << table.substr(0, 4);
  }
}

TEST(Acpi, IaslCompilesTheDsdtItDisassembled) {
  const std::string source = Disassemble(BuildDsdt(Machine()), true);
  EXPECT_THAT(source, HasSubstr("EisaId (\"PNP0A08\")"));
  EXPECT_THAT(source, HasSubstr("Name (_PXM, One)"));
  EXPECT_THAT(source, HasSubstr("Notify (\\_SB.PWRB, 0x80)"));
  EXPECT_THAT(source, HasSubstr("0x0000001000000000"));  // The 64-bit window.
}

TEST(Acpi, TheRootIsOnTheNodeThatAllDevicesAreOn) {
  const auto root_has_node = [](const Description& machine) {
    const std::string source = Disassemble(BuildDsdt(machine), false);
    return source.find("Name (_PXM") < source.find("Device (S18)");
  };
  Description machine = Machine();
  EXPECT_TRUE(root_has_node(machine));
  machine.pci_nodes.push_back({0x20, 0});
  EXPECT_FALSE(root_has_node(machine));
}

TEST(Acpi, IaslUnderstandsTheFadt) {
  const std::string source = Disassemble(BuildFadt(Machine(), 0xe0000), false);
  EXPECT_THAT(source, HasSubstr("Hardware Reduced (V5) : 1"));
  EXPECT_THAT(source, HasSubstr("Reset Register Supported (V2) : 1"));
  EXPECT_THAT(source, HasSubstr("Value to cause reset : 06"));
  EXPECT_THAT(source, testing::Not(HasSubstr("Invalid")));
}

TEST(Acpi, IaslFindsEveryProcessorInTheMadt) {
  const std::string source = Disassemble(BuildMadt(Machine()), false);
  EXPECT_THAT(source, HasSubstr("Processor x2Apic ID : 0000012C"));  // 300 needs an x2APIC entry.
  EXPECT_THAT(source, HasSubstr("I/O Apic ID"));
}

TEST(Acpi, IaslReadsNodesAndDistances) {
  const Description machine = Machine();
  EXPECT_THAT(Disassemble(BuildSrat(machine), false), HasSubstr("Proximity Domain : 00000001"));
  EXPECT_THAT(Disassemble(BuildSlit(machine), false), HasSubstr("0A 14"));
  EXPECT_THAT(Disassemble(BuildMcfg(machine), false), HasSubstr("End Bus Number : FF"));
}

TEST(Acpi, TheRootPointerLeadsToTheTables) {
  constexpr uint64_t kAddress = 0xe0000;
  const Tables tables = *BuildTables(Machine(), kAddress, 0x20000);
  const char* rsdp = tables.bytes.data() + (tables.rsdp_address - kAddress);
  EXPECT_EQ(std::string(rsdp, 8), "RSD PTR ");
  EXPECT_EQ(std::accumulate(rsdp, rsdp + 20, uint8_t{0}), 0);
  EXPECT_EQ(std::accumulate(rsdp, rsdp + 36, uint8_t{0}), 0);
  const char* xsdt = tables.bytes.data() + (LoadLe<uint64_t>(rsdp + 24) - kAddress);
  EXPECT_EQ(std::string(xsdt, 4), "XSDT");
  EXPECT_EQ(std::string(tables.bytes.data() + (LoadLe<uint64_t>(xsdt + 36) - kAddress), 4), "FACP");
}

TEST(Acpi, TablesThatDoNotFitAreRefused) {
  EXPECT_EQ(BuildTables(Machine(), 0xe0000, 1024).error().code(), Code::kResourceExhausted);
}

}  // namespace
}  // namespace berth::hw::acpi
