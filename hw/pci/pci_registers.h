// Names and numbers of PCI configuration registers: PCI Local Bus 3.0 chapter 6, PCI-to-PCI Bridge 1.2
// chapter 3, PCI Express Base 5.0 chapter 7. (The kernel's <linux/pci_regs.h> has the same as macros.)
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace berth::hw::pci {

inline constexpr uint16_t kVendorId = 0x00, kDeviceId = 0x02, kCommand = 0x04, kStatus = 0x06,
                          kRevisionId = 0x08, kClassCode = 0x09, kCacheLineSize = 0x0c, kHeaderType = 0x0e,
                          kBar0 = 0x10, kSubsystemVendorId = 0x2c, kSubsystemId = 0x2e, kRomBar = 0x30,
                          kCapabilityPointer = 0x34, kInterruptLine = 0x3c, kInterruptPin = 0x3d;
// Type 1 headers.
inline constexpr uint16_t kPrimaryBus = 0x18, kSecondaryBus = 0x19, kSubordinateBus = 0x1a, kIoBase = 0x1c,
                          kIoLimit = 0x1d, kSecondaryStatus = 0x1e, kMemoryBase = 0x20, kMemoryLimit = 0x22,
                          kPrefetchableBase = 0x24, kPrefetchableLimit = 0x26, kPrefetchableBaseUpper = 0x28,
                          kPrefetchableLimitUpper = 0x2c, kIoBaseUpper = 0x30, kIoLimitUpper = 0x32,
                          kBridgeRomBar = 0x38, kBridgeControl = 0x3e;

inline constexpr uint16_t kCommandIo = 1 << 0, kCommandMemory = 1 << 1, kCommandMaster = 1 << 2,
                          kCommandParity = 1 << 6, kCommandSerr = 1 << 8, kCommandIntxDisable = 1 << 10;
inline constexpr uint16_t kStatusInterrupt = 1 << 3, kStatusCapabilities = 1 << 4;

inline constexpr uint8_t kHeaderMultiFunction = 0x80;
inline constexpr uint32_t kBarIo = 1, kBar64 = 0x4, kBarPrefetchable = 0x8;

inline constexpr uint8_t kCapPowerManagement = 0x01, kCapVpd = 0x03, kCapMsi = 0x05, kCapVendor = 0x09,
                         kCapExpress = 0x10, kCapMsix = 0x11, kCapAdvancedFeatures = 0x13;
inline constexpr uint16_t kExtCapAer = 0x01, kExtCapSerial = 0x03, kExtCapAcs = 0x0d, kExtCapAri = 0x0e,
                          kExtCapAts = 0x0f, kExtCapSriov = 0x10, kExtCapResizableBar = 0x15;

// Device/port types of the PCI Express capability (7.5.3.2).
inline constexpr uint8_t kExpressEndpoint = 0, kExpressLegacyEndpoint = 1, kExpressRootPort = 4,
                         kExpressIntegratedEndpoint = 9;

}  // namespace berth::hw::pci
