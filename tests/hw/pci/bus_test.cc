#include "hw/pci/bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_pci_function.h"
#include "tests/fakes/fake_pci_machine.h"

namespace berth::hw {
namespace {

using testing::HasSubstr;

constexpr uint64_t kEnable = 0x80000000;

struct BusTest : testing::Test {
  FakePciFunction& Add(PciBus& bus, unsigned device, uint8_t answer) {
    auto function = std::make_unique<FakePciFunction>("device", answer,
                                                      std::vector<BarRequest>{{.index = 0, .size = 0x1000}});
    FakePciFunction& added = *function;
    CHECK(bus.Add(MakeDevfn(device, 0), std::move(function)));
    return added;
  }
  uint32_t Id(uint8_t bus, unsigned device) { return machine.Read(bus, MakeDevfn(device, 0), 0, 4); }
  void Number(unsigned port, uint8_t secondary, uint8_t subordinate) {
    machine.Write(0, MakeDevfn(port, 0), pci::kSecondaryBus, 1, secondary);
    machine.Write(0, MakeDevfn(port, 0), pci::kSubordinateBus, 1, subordinate);
  }

  FakePciMachine machine;
  PciBus& root = machine.bridge.root();
};

TEST_F(BusTest, WhereNoFunctionIsReadsAreOnes) {
  Add(root, 3, 0x11);
  EXPECT_EQ(Id(0, 3), 0x00111234u);
  EXPECT_EQ(Id(0, 4), 0xffffffffu);
  EXPECT_EQ(machine.Read(0, MakeDevfn(3, 1), 0, 2), 0xffffu);
  EXPECT_EQ(Id(7, 3), 0xffffffffu);
  machine.Write(7, 0, 4, 2, 7);  // And writes go nowhere.
}

TEST_F(BusTest, ANumberIsGivenOnce) {
  Add(root, 3, 0x11);
  const Status added =
      root.Add(MakeDevfn(3, 0), std::make_unique<FakePciFunction>("second", 0x22, std::vector<BarRequest>{}));
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code(), Code::kAlreadyExists);
  EXPECT_THAT(added.error().message(), HasSubstr("second"));
}

TEST_F(BusTest, AFunctionThatCannotAttachIsNotThere) {
  auto function = std::make_unique<FakePciFunction>("shy", 0x11, std::vector<BarRequest>{});
  function->refuse = true;
  EXPECT_FALSE(root.Add(MakeDevfn(3, 0), std::move(function)));
  EXPECT_EQ(Id(0, 3), 0xffffffffu);
}

TEST_F(BusTest, MisalignedAccessesReadOnes) {
  Add(root, 3, 0x11);
  EXPECT_EQ(machine.Read(0, MakeDevfn(3, 0), 1, 2), 0xffffu);
  EXPECT_EQ(machine.Read(0, MakeDevfn(3, 0), 2, 4), 0xffffffffu);
}

TEST_F(BusTest, ABusBehindAPortIsFoundByItsNumbers) {
  PciBridge& port = machine.AddRootPort(1);
  Add(port.secondary(), 0, 0x22);
  EXPECT_EQ(Id(1, 0), 0xffffffffu);  // Not numbered yet.
  Number(1, 1, 1);
  EXPECT_EQ(Id(1, 0), 0x00221234u);
  Number(1, 5, 9);
  EXPECT_EQ(Id(1, 0), 0xffffffffu);
  EXPECT_EQ(Id(5, 0), 0x00221234u);
  EXPECT_EQ(Id(6, 0), 0xffffffffu);  // In the port's range, but nobody's.
}

TEST_F(BusTest, NumbersThatMakeNoSenseHideTheBus) {
  PciBridge& port = machine.AddRootPort(1);
  Add(port.secondary(), 0, 0x22);
  Number(1, 0, 255);  // Its own bus.
  EXPECT_EQ(Id(0, 0), 0xffffffffu);
  Number(1, 5, 4);  // Ends before it begins.
  EXPECT_EQ(Id(5, 0), 0xffffffffu);
}

TEST_F(BusTest, TwoPortsOfOneNumberAreNoLoop) {
  PciBridge& one = machine.AddRootPort(1);
  PciBridge& two = machine.AddRootPort(2);
  Add(one.secondary(), 0, 0x22);
  Add(two.secondary(), 0, 0x33);
  Number(1, 1, 255);
  Number(2, 1, 255);
  EXPECT_EQ(Id(1, 0), 0x00221234u);  // The first one answers.
  EXPECT_EQ(Id(2, 0), 0xffffffffu);
}

TEST_F(BusTest, EcamAddressesAreBusDeviceFunctionRegister) {
  // PCI Express Base 5.0, 7.2.2: bus 27:20, device 19:15, function 14:12, register 11:0.
  PciBridge& port = machine.AddRootPort(1);
  Add(port.secondary(), 4, 0x22);
  Number(1, 2, 2);
  IoHandler* ecam = machine.bridge.ecam_handler();
  const uint64_t at = 2 << 20 | 4 << 15;
  EXPECT_EQ(ecam->Read(at, 4), 0x00221234u);
  EXPECT_EQ(ecam->Read(at + 2, 2), 0x0022u);
  EXPECT_EQ(ecam->Read(at, 8) & 0xffffffff, 0x00221234u);
  EXPECT_EQ(ecam->Read(3 << 20, 8), ~uint64_t{0});
  ecam->Write(at + pci::kInterruptLine, 1, 0x0a);
  EXPECT_EQ(ecam->Read(at + pci::kInterruptLine, 1), 0x0au);
}

TEST_F(BusTest, Mechanism1ReachesWhatItsAddressNames) {
  // PCI Local Bus 3.0, 3.2.2.3.2: enable 31, bus 23:16, device 15:11, function 10:8, register 7:2.
  Add(root, 4, 0x22);
  IoHandler* ports = machine.bridge.port_handler();
  ports->Write(0, 4, kEnable | 4 << 11);
  EXPECT_EQ(ports->Read(0, 4), kEnable | 4 << 11);
  EXPECT_EQ(ports->Read(4, 4), 0x00221234u);
  EXPECT_EQ(ports->Read(6, 2), 0x0022u);
  EXPECT_EQ(ports->Read(7, 1), 0x00u);
}

TEST_F(BusTest, Mechanism1NeedsItsEnableBitAndAWholeAddress) {
  Add(root, 4, 0x22);
  IoHandler* ports = machine.bridge.port_handler();
  ports->Write(0, 4, 4 << 11);
  EXPECT_EQ(ports->Read(4, 4), 0xffffffffu);
  ports->Write(0, 4, kEnable | 4 << 11);
  ports->Write(0, 1, 0xff);  // "Anything other than a DWORD access is passed on."
  ports->Write(1, 2, 0xffff);
  EXPECT_EQ(ports->Read(4, 4), 0x00221234u);
  EXPECT_EQ(ports->Read(0, 1), 0xffu);
  EXPECT_EQ(ports->Read(4, 8), ~uint64_t{0});
}

TEST_F(BusTest, InterruptPinsAreSwizzled) {
  // PCI-to-PCI Bridge 1.2, table 9-1: below a bridge, (device + pin) modulo 4 counts.
  PciBridge& port = machine.AddRootPort(3);
  FakePciFunction& direct = Add(root, 3 + 8, 0x11);
  FakePciFunction& behind = Add(port.secondary(), 2, 0x22);
  EXPECT_EQ(direct.slot->IntxGsi(1), map::kGsiPciFirst + 3);
  EXPECT_EQ(direct.slot->IntxGsi(2), map::kGsiPciFirst + 4);
  // INTA of device 2 is INTC at the port, which is device 3.
  EXPECT_EQ(behind.slot->IntxGsi(1), map::kGsiPciFirst + (3 + 2) % 8);
  EXPECT_EQ(behind.slot->IntxGsi(4), map::kGsiPciFirst + (3 + 1) % 8);
  EXPECT_FALSE(direct.slot->behind_root_port());
  EXPECT_TRUE(behind.slot->behind_root_port());
}

TEST_F(BusTest, ResetReachesEveryFunction) {
  PciBridge& port = machine.AddRootPort(1);
  FakePciFunction& direct = Add(root, 3, 0x11);
  FakePciFunction& behind = Add(port.secondary(), 0, 0x22);
  Number(1, 1, 1);
  machine.bridge.Reset();
  EXPECT_EQ(direct.resets, 1);
  EXPECT_EQ(behind.resets, 1);
  EXPECT_EQ(port.secondary_number(), 0);
}

}  // namespace
}  // namespace berth::hw
