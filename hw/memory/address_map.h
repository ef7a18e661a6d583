// Where everything is in the guest's address spaces: a compatibility contract. A guest's addresses must not
// move when Berth is updated; change nothing here without a machine version.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/error.h"

namespace berth::hw {

namespace map {

// Guest-physical memory below 1 MiB: what the loader leaves for the kernel.
inline constexpr uint64_t kGdt = 0x500, kPvhStartInfo = 0x6000, kBootParams = 0x7000, kPageTables = 0x9000,
                          kCommandLine = 0x20000;
inline constexpr uint64_t kCommandLineMax = 0x10000;
inline constexpr Range kLowMemory = {0, 0xa0000};
inline constexpr Range kLegacyHole = {0xa0000, 0x60000};  // RAM, reserved in e820; holds the ACPI tables.
inline constexpr Range kAcpiTables = {0xe0000, 0x1fff0};
// Where a CPU starts in real mode: a few instructions that write the reset register. Linux, with
// hardware-reduced ACPI and without EFI, restarts a machine by jumping there.
inline constexpr uint64_t kResetVector = 0xffff0;
inline constexpr uint64_t kHighMemoryStart = 0x100000;

// The 32-bit hole.
inline constexpr uint64_t kLowRamEnd = 0xc0000000;  // RAM below 4 GiB ends here at the latest.
inline constexpr Range kMmio32 = {0xc0000000, 0x20000000};
inline constexpr Range kEcam = {0xe0000000, 0x10000000};  // 256 buses.
inline constexpr Range kIoApic = {0xfec00000, 0x1000};
inline constexpr Range kLocalApic = {0xfee00000,
                                     0x100000};  // Message-signalled interrupts: nothing else, ever.
inline constexpr uint64_t k4GiB = 1ull << 32;

// AMD's HyperTransport hole: IOMMUs of AMD hosts refuse to map it.
inline constexpr Range kAmdHole = {0xfd00000000, 0x300000000};
inline constexpr uint64_t kMmio64Least =
    64 * kGiB;  // The least start of the 64-bit window, and its least size.

// I/O ports.
inline constexpr uint16_t kPortDebugExit = 0xf4, kPortSerial = 0x3f8, kPortRtc = 0x70, kPortKeyboard = 0x64,
                          kPortPvpanic = 0x505, kPortSleepControl = 0x600, kPortSleepStatus = 0x601,
                          kPortEvents = 0x602, kPortPciAddress = 0xcf8, kPortPciData = 0xcfc,
                          kPortReset = 0xcf9;
inline constexpr Range kPciPorts = {0x1000, 0xf000};

// Interrupt lines (pins of the I/O APIC).
inline constexpr uint32_t kGsiSerial = 4, kGsiEvents = 5, kGsiRtc = 8, kGsiPciFirst = 16, kGsiPciCount = 8;

}  // namespace map

// What depends on the machine's size.
struct AddressMap {
  Range low_ram;   // From 0.
  Range high_ram;  // From 4 GiB; size 0 if all RAM is below.
  Range mmio64;    // The 64-bit window of the PCI root.
};

// Pure. The 64-bit window is at a place that leaves RAM room to grow; where it does not fit there, right
// behind RAM, and no larger than it must be. `address_bits` is the width of guest-physical addresses (the
// CPU's, or the IOMMU's if that is less), 36 to 52; `mmio64_needed` is what the BARs of all devices take with
// their alignment, `largest_bar` the alignment of the window. RESOURCE_EXHAUSTED, with the numbers, if RAM
// and window do not fit below the width and outside AMD's hole.
Result<AddressMap> PlanAddressMap(uint64_t ram_size_bytes, unsigned address_bits, uint64_t mmio64_needed,
                                  uint64_t largest_bar);

}  // namespace berth::hw
