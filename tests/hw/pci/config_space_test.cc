#include "hw/pci/config_space.h"

#include <gtest/gtest.h>

namespace berth::hw {
namespace {

const PciIdentity kIdentity{.vendor_id = 0x1af4,
                            .device_id = 0x1044,
                            .subsystem_vendor_id = 0x1af4,
                            .subsystem_id = 0x1100,
                            .class_code = 0x00ff01,
                            .revision_id = 1};

TEST(ConfigSpace, HeaderSaysWhatItIs) {
  const ConfigSpace config(kIdentity);
  EXPECT_EQ(config.Read(0x00, 4), 0x10441af4u);
  EXPECT_EQ(config.Read(0x08, 4), 0x00ff0101u);
  EXPECT_EQ(config.Read(0x2c, 4), 0x11001af4u);
  EXPECT_EQ(config.Read(0x0e, 1), 0u);
}

TEST(ConfigSpace, ABridgeHasNoSubsystemRegisters) {
  const ConfigSpace config(kIdentity, 1 | pci::kHeaderMultiFunction);
  EXPECT_EQ(config.Read(0x0e, 1), 0x81u);
  EXPECT_EQ(config.Read(0x2c, 4), 0u);
}

TEST(ConfigSpace, TheGuestWritesOnlyWhatTheMaskAllows) {
  ConfigSpace config(kIdentity);
  config.Write(pci::kVendorId, 4, 0xdeadbeef);
  EXPECT_EQ(config.Read(0, 4), 0x10441af4u);
  config.Write(pci::kCommand, 2, 0xffff);
  EXPECT_EQ(config.command(), 0x0547);
  config.SetWritable<uint32_t>(0x50, 0x00ff00ff);
  config.Set<uint32_t>(0x50, 0x12345678);
  config.Write(0x50, 4, 0xffffffff);
  EXPECT_EQ(config.Read(0x50, 4), 0x12ff56ffu);
}

TEST(ConfigSpace, AWrittenOneClears) {
  ConfigSpace config(kIdentity);
  config.Set<uint16_t>(pci::kStatus, 0x8900);
  config.Write(pci::kStatus, 2, 0x0100);
  EXPECT_EQ(config.Get<uint16_t>(pci::kStatus), 0x8800);
  config.Write(pci::kStatus + 1, 1, 0xff);
  EXPECT_EQ(config.Get<uint16_t>(pci::kStatus), 0);
}

TEST(ConfigSpace, AnAccessThatNoBusMakesReadsAsOnesAndWritesNothing) {
  ConfigSpace config(kIdentity);
  config.SetWritable<uint32_t>(0x50, ~0u);
  config.SetWritable<uint32_t>(0x54, ~0u);
  EXPECT_EQ(config.Read(0x53, 2), 0xffffu);
  EXPECT_EQ(config.Read(0x52, 4), 0xffffffffu);
  EXPECT_EQ(config.Read(4096, 4), 0xffffffffu);
  EXPECT_EQ(config.Read(0x50, 8), 0xffffffffu);
  config.Write(0x52, 4, 0xffffffff);
  config.Write(0xffff, 1, 0xff);
  config.Write(0x50, 0, 0xff);
  EXPECT_EQ(config.Read(0x50, 4), 0u);
  EXPECT_EQ(config.Read(0x54, 4), 0u);
  EXPECT_EQ(config.Read(0x51, 2), 0u);
}

TEST(ConfigSpace, CapabilitiesFormAChain) {
  ConfigSpace config(kIdentity);
  EXPECT_EQ(config.Read(pci::kStatus, 2) & pci::kStatusCapabilities, 0u);
  const uint8_t body[] = {1, 2, 3};
  const uint16_t first = config.AddCapability(pci::kCapVendor, body);
  const uint16_t second = config.AddCapability(pci::kCapMsix, std::array<uint8_t, 10>{});
  EXPECT_NE(config.Read(pci::kStatus, 2) & pci::kStatusCapabilities, 0u);
  EXPECT_EQ(config.Read(pci::kCapabilityPointer, 1), first);
  EXPECT_EQ(first, 0x40);
  EXPECT_EQ(second, 0x48);  // dword-aligned
  EXPECT_EQ(config.Read(first, 4), 0x02010000u | uint32_t{second} << 8 | pci::kCapVendor);
  EXPECT_EQ(config.Read(second + 1, 1), 0u);
}

TEST(ConfigSpace, ExtendedCapabilitiesFormAChainFrom0x100) {
  ConfigSpace config(kIdentity);
  const uint16_t first = config.AddExtendedCapability(pci::kExtCapSerial, 1, std::array<uint8_t, 8>{});
  const uint16_t second = config.AddExtendedCapability(pci::kExtCapAcs, 2, std::array<uint8_t, 4>{});
  EXPECT_EQ(config.Read(0x100, 4), uint32_t{second} << 20 | 1 << 16 | pci::kExtCapSerial);
  EXPECT_EQ(first, 0x100);
  EXPECT_EQ(config.Read(second, 4), 2u << 16 | pci::kExtCapAcs);
}

TEST(ConfigSpaceDeathTest, RunningOutOfRoomIsABug) {
  ConfigSpace config(kIdentity);
  config.AddCapability(pci::kCapVendor, std::array<uint8_t, 180>{});
  EXPECT_DEATH(config.AddCapability(pci::kCapVendor, std::array<uint8_t, 20>{}), "kCapabilitiesEnd");
}

}  // namespace
}  // namespace berth::hw
