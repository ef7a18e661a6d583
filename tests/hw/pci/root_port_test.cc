#include "hw/pci/root_port.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_pci_function.h"
#include "tests/fakes/fake_pci_machine.h"

namespace berth::hw {
namespace {

constexpr Devfn kPort = MakeDevfn(1, 0);
constexpr uint64_t kBar32 = 0xc1000000, kBar64 = 0x20'0000'0000;

// A port with a device behind it: 4 KiB of 32-bit memory, 1 MiB of prefetchable memory, 32 ports.
struct RootPortTest : testing::Test {
  RootPortTest() {
    auto function = std::make_unique<FakePciFunction>(
        "device", 0x22,
        std::vector<BarRequest>{{.index = 0, .size = 0x1000},
                                {.index = 1, .size = 0x20, .io = true},
                                {.index = 2, .size = kMiB, .is_64bit = true, .prefetchable = true}});
    device = function.get();
    CHECK(port.secondary().Add(0, std::move(function)));
    Port(pci::kSecondaryBus, 1, 1);
    Port(pci::kSubordinateBus, 1, 1);
    Device(0x10, 4, kBar32);
    Device(0x14, 4, 0xc000);
    Device(0x18, 4, 0);
    Device(0x1c, 4, kBar64 >> 32);
    Device(pci::kCommand, 2, 3);
  }
  void Port(uint16_t offset, unsigned size, uint32_t value) { machine.Write(0, kPort, offset, size, value); }
  void Device(uint16_t offset, unsigned size, uint32_t value) { machine.Write(1, 0, offset, size, value); }
  uint64_t Memory(uint64_t address) { return machine.memory_reader.Read(address, 1); }
  uint64_t Ports(uint16_t number) { return machine.port_reader.Read(number, 1); }
  void OpenMemory() { Port(pci::kMemoryBase, 4, 0xc100c100); }
  void OpenPrefetchable() {
    Port(pci::kPrefetchableBase, 4, 0x00100000);
    Port(pci::kPrefetchableBaseUpper, 4, kBar64 >> 32);
    Port(pci::kPrefetchableLimitUpper, 4, kBar64 >> 32);
  }
  void OpenIo() { Port(pci::kIoBase, 2, 0xc0c0); }

  FakePciMachine machine;
  PciBridge& port = machine.AddRootPort(1);
  FakePciFunction* device = nullptr;
};

TEST_F(RootPortTest, IsARootPortWithABridgesHeader) {
  EXPECT_EQ(machine.Read(0, kPort, pci::kHeaderType, 1) & 0x7f, 1u);
  EXPECT_EQ(machine.Read(0, kPort, pci::kClassCode + 1, 1), 0x04u);  // PCI-to-PCI bridge.
  uint16_t at = static_cast<uint16_t>(machine.Read(0, kPort, pci::kCapabilityPointer, 1));
  while (at != 0 && machine.Read(0, kPort, at, 1) != pci::kCapExpress) {
    at = static_cast<uint16_t>(machine.Read(0, kPort, at + 1, 1));
  }
  ASSERT_NE(at, 0);
  EXPECT_EQ(machine.Read(0, kPort, at + 2, 2) >> 4 & 0xf, pci::kExpressRootPort);
}

TEST_F(RootPortTest, WithoutWindowsNothingPasses) {
  Port(pci::kCommand, 2, 7);
  EXPECT_EQ(Memory(kBar32), 0xffu);
  EXPECT_EQ(Memory(kBar64), 0xffu);
  EXPECT_EQ(Ports(0xc000), 0xffu);
}

TEST_F(RootPortTest, EachWindowShowsItsKindOfBar) {
  Port(pci::kCommand, 2, 7);
  OpenMemory();
  EXPECT_EQ(Memory(kBar32), 0x22u);
  EXPECT_EQ(Memory(kBar64), 0xffu);
  OpenPrefetchable();
  EXPECT_EQ(Memory(kBar64), 0x22u);
  OpenIo();
  EXPECT_EQ(Ports(0xc000), 0x22u);
  EXPECT_EQ(Ports(0xc020), 0xffu);
}

TEST_F(RootPortTest, TheCommandRegisterOpensAndClosesThem) {
  OpenMemory();
  OpenIo();
  EXPECT_EQ(Memory(kBar32), 0xffu);
  Port(pci::kCommand, 2, pci::kCommandMemory);
  EXPECT_EQ(Memory(kBar32), 0x22u);
  EXPECT_EQ(Ports(0xc000), 0xffu);
  Port(pci::kCommand, 2, pci::kCommandIo);
  EXPECT_EQ(Memory(kBar32), 0xffu);
  EXPECT_EQ(Ports(0xc000), 0x22u);
}

TEST_F(RootPortTest, ABarThatMovesOutOfTheWindowIsGone) {
  Port(pci::kCommand, 2, 7);
  OpenMemory();
  Device(0x10, 4, 0xc1001000);  // Elsewhere in it.
  EXPECT_EQ(Memory(kBar32), 0xffu);
  EXPECT_EQ(Memory(0xc1001000), 0x22u);
  Device(0x10, 4, 0xc2000000);
  EXPECT_EQ(Memory(0xc2000000), 0xffu);
  Port(pci::kMemoryBase, 4, 0xc200c200);
  EXPECT_EQ(Memory(0xc2000000), 0x22u);
}

TEST_F(RootPortTest, AWindowIsInMebibytes) {
  // Bridge 1.2, 3.2.5.8: the low 20 bits of the limit count as ones.
  Port(pci::kCommand, 2, 7);
  Port(pci::kMemoryBase, 4, 0xc100c100);
  Device(0x10, 4, 0xc10ff000);
  EXPECT_EQ(Memory(0xc10fffff), 0x22u);
  Device(0x10, 4, 0xc1100000);
  EXPECT_EQ(Memory(0xc1100000), 0xffu);
}

TEST_F(RootPortTest, BaseAboveLimitClosesAWindow) {
  Port(pci::kCommand, 2, 7);
  OpenMemory();
  Port(pci::kMemoryBase, 4, 0xc000c100);
  EXPECT_EQ(Memory(kBar32), 0xffu);
}

TEST_F(RootPortTest, AWindowOverAllAddressesHurtsNobody) {
  Port(pci::kCommand, 2, 7);
  Port(pci::kPrefetchableLimitUpper, 4, 0xffffffff);
  Port(pci::kPrefetchableBase, 4, 0xfff00000);
  EXPECT_EQ(Memory(kBar64 + kMiB), 0xffu);
  Port(pci::kPrefetchableBaseUpper, 4, 1);  // Everything above 4 GiB, to the very end.
  EXPECT_EQ(Memory(kBar64), 0x22u);
}

TEST_F(RootPortTest, TheReadOnlyBitsOfTheWindowsSayTheirWidth) {
  Port(pci::kPrefetchableBase, 4, 0xffffffff);
  EXPECT_EQ(machine.Read(0, kPort, pci::kPrefetchableBase, 4), 0xfff1fff1u);  // 64 bits.
  Port(pci::kIoBase, 2, 0xffff);
  EXPECT_EQ(machine.Read(0, kPort, pci::kIoBase, 2), 0xf1f1u);  // 32 bits.
  Port(pci::kMemoryBase, 4, 0xffffffff);
  EXPECT_EQ(machine.Read(0, kPort, pci::kMemoryBase, 4), 0xfff0fff0u);
}

TEST_F(RootPortTest, ASecondaryResetResetsOnceWhatIsBehind) {
  Port(pci::kBridgeControl, 2, 1 << 6);
  Port(pci::kBridgeControl, 2, 1 << 6);
  EXPECT_EQ(device->resets, 1);
  Port(pci::kBridgeControl, 2, 0);
  Port(pci::kBridgeControl, 2, 1 << 6);
  EXPECT_EQ(device->resets, 2);
}

TEST_F(RootPortTest, ResetClosesItsWindowsAndForgetsItsNumbers) {
  Port(pci::kCommand, 2, 7);
  OpenMemory();
  port.Reset();
  EXPECT_EQ(Memory(kBar32), 0xffu);
  EXPECT_EQ(port.secondary_number(), 0);
  EXPECT_EQ(machine.Read(0, kPort, pci::kCommand, 2), 0u);
}

}  // namespace
}  // namespace berth::hw
