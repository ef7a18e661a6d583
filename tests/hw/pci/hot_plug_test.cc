// A hot-plug port as the guest's driver and the people at the machine see it.
#include <gtest/gtest.h>

#include "hw/pci/root_port.h"
#include "tests/fakes/fake_pci_function.h"
#include "tests/fakes/fake_pci_machine.h"

namespace berth::hw {
namespace {

constexpr Devfn kPort = MakeDevfn(3, 0);
constexpr uint64_t kBar = 0xc1000000;
// Slot control and status, by name (7.5.3.10 and 7.5.3.11).
constexpr uint16_t kButton = 1 << 0, kPresenceChanged = 1 << 3, kCommandCompleted = 1 << 4, kPresent = 1 << 6,
                   kLinkChanged = 1 << 8;
constexpr uint16_t kEnableButton = 1 << 0, kEnableCommand = 1 << 4, kEnableInterrupt = 1 << 5,
                   kIndicatorOn = 1 << 8, kIndicatorBlinks = 2 << 8, kIndicatorOff = 3 << 8,
                   kPowerOff = 1 << 10, kEnableLink = 1 << 12;
constexpr uint16_t kListening = kEnableButton | kEnableInterrupt | kEnableLink;

struct HotPlugTest : testing::Test {
  HotPlugTest() {
    Port(pci::kSecondaryBus, 1, 1);
    Port(pci::kSubordinateBus, 1, 1);
    Port(pci::kMemoryBase, 4, 0xc100c100);
    Port(pci::kCommand, 2, 7);
    express = Capability(pci::kCapExpress);
    msi = Capability(pci::kCapMsi);
  }
  uint16_t Capability(uint8_t id) {
    auto at = static_cast<uint16_t>(Port(pci::kCapabilityPointer, 1));
    while (at != 0 && Port(at, 1) != id) at = static_cast<uint16_t>(Port(at + 1, 1));
    return at;
  }
  uint32_t Port(uint16_t offset, unsigned size) { return machine.Read(0, kPort, offset, size); }
  void Port(uint16_t offset, unsigned size, uint32_t value) { machine.Write(0, kPort, offset, size, value); }
  uint16_t Status() { return static_cast<uint16_t>(Port(express + 0x1a, 2)); }
  // The events since the last call, which are acknowledged.
  uint16_t TakeEvents() {
    const uint16_t events = Status() & 0x11f;
    Port(express + 0x1a, 2, events);
    return events;
  }
  void Control(uint16_t value) { Port(express + 0x18, 2, value); }
  bool LinkActive() { return (Port(express + 0x12, 2) & 1 << 13) != 0; }
  bool Line() { return machine.interrupts.levels[map::kGsiPciFirst + 3]; }
  uint32_t CardId() { return machine.Read(1, 0, 0, 4); }

  void Insert() {
    auto function = std::make_unique<FakePciFunction>("card", 0x22,
                                                      std::vector<BarRequest>{{.index = 0, .size = 0x1000}});
    card = function.get();
    port.Insert(*port.secondary().Prepare(0, std::move(function)));
  }
  void MapCard() {
    machine.Write(1, 0, 0x10, 4, kBar);
    machine.Write(1, 0, pci::kCommand, 2, 2);
  }

  int news = 0;
  FakePciMachine machine;
  RootPort& port = machine.AddRootPort(3, {.on_removal = [this] { ++news; }});
  FakePciFunction* card = nullptr;
  uint16_t express = 0, msi = 0;
};

TEST_F(HotPlugTest, SaysWhatTheSlotHas) {
  // Button, power controller, two indicators, surprise, hot plug; the slot's number.
  EXPECT_EQ(Port(express + 0x14, 4), 0x7bu | 3u << 19);
  EXPECT_TRUE(Port(express + 0x0c, 4) & 1 << 20);  // The link's state is reported.
  EXPECT_EQ(Port(pci::kInterruptPin, 1), 1u);
  EXPECT_EQ(Status(), 0u);
  EXPECT_FALSE(LinkActive());
}

TEST_F(HotPlugTest, ACardIsToldAndThere) {
  Control(kListening | kIndicatorOn);
  TakeEvents();
  EXPECT_EQ(CardId(), 0xffffffffu);
  Insert();
  EXPECT_EQ(CardId(), 0x00221234u);
  EXPECT_TRUE(LinkActive());
  EXPECT_TRUE(Line());
  EXPECT_TRUE(Status() & kPresent);
  EXPECT_EQ(TakeEvents(), kButton | kPresenceChanged | kLinkChanged);
  EXPECT_FALSE(Line());
}

TEST_F(HotPlugTest, ACardInASlotWithoutPowerWaitsForIt) {
  Control(kListening | kIndicatorOff | kPowerOff);
  TakeEvents();
  Insert();
  EXPECT_EQ(TakeEvents(), kButton | kPresenceChanged);
  EXPECT_EQ(CardId(), 0xffffffffu);
  Control(kListening | kIndicatorOn);
  EXPECT_TRUE(LinkActive());
  EXPECT_EQ(TakeEvents(), kCommandCompleted | kLinkChanged);
  EXPECT_EQ(CardId(), 0x00221234u);
}

TEST_F(HotPlugTest, AGuestGivesACardUp) {
  Insert();
  MapCard();
  Control(kListening | kIndicatorOn);
  TakeEvents();
  port.RequestRemoval();
  EXPECT_EQ(port.removal(), Removal::kAsked);
  EXPECT_TRUE(Line());
  EXPECT_EQ(TakeEvents(), kButton);
  EXPECT_EQ(machine.memory_reader.Read(kBar, 1), 0x22u);

  Control(kListening | kIndicatorBlinks);
  Control(kListening | kIndicatorBlinks | kPowerOff);
  EXPECT_EQ(TakeEvents(), kCommandCompleted | kLinkChanged);
  EXPECT_FALSE(LinkActive());
  EXPECT_EQ(card->resets, 1);
  EXPECT_EQ(machine.memory_reader.Read(kBar, 1), 0xffu);
  EXPECT_EQ(CardId(), 0xffffffffu);
  EXPECT_EQ(port.removal(), Removal::kAsked);
  EXPECT_EQ(news, 0);

  Control(kListening | kIndicatorOff | kPowerOff);
  EXPECT_EQ(news, 1);
  EXPECT_EQ(port.removal(), Removal::kReleased);
  TakeEvents();
  port.Remove();
  EXPECT_EQ(port.removal(), Removal::kNone);
  EXPECT_EQ(Status(), kPresenceChanged);
}

TEST_F(HotPlugTest, AGuestMayKeepACard) {
  Control(kListening | kIndicatorOff | kPowerOff);
  Insert();
  Control(kListening | kIndicatorBlinks | kPowerOff);
  Control(kListening | kIndicatorOn);
  port.RequestRemoval();
  Control(kListening | kIndicatorBlinks);
  EXPECT_EQ(news, 0);
  Control(kListening | kIndicatorOn);
  EXPECT_EQ(news, 1);
  EXPECT_EQ(port.removal(), Removal::kNone);
  EXPECT_EQ(CardId(), 0x00221234u);
}

TEST_F(HotPlugTest, ThePressThatCameWithACardIsTakenBackWhereItWasSeenTooLate) {
  Control(kListening | kIndicatorOff | kPowerOff);
  Insert();
  Control(kListening | kIndicatorOff);  // The card was found by itself.
  Control(kListening | kIndicatorBlinks);
  Control(kListening | kIndicatorOn);
  TakeEvents();
  Control(kListening | kIndicatorBlinks);  // Only now the press is seen.
  EXPECT_EQ(TakeEvents(), kButton | kCommandCompleted);
  Control(kListening | kIndicatorOn);
  EXPECT_EQ(TakeEvents(), kCommandCompleted);
  EXPECT_EQ(port.removal(), Removal::kNone);
  EXPECT_EQ(CardId(), 0x00221234u);
  // What the guest does by itself later is its own affair.
  Control(kListening | kIndicatorBlinks);
  EXPECT_EQ(TakeEvents(), kCommandCompleted);
}

TEST_F(HotPlugTest, ThePressThatCameWithACardDoesNotCancelARequest) {
  Control(kListening | kIndicatorOff | kPowerOff);
  Insert();
  Control(kListening | kIndicatorOn);
  port.RequestRemoval();
  Control(kListening | kIndicatorBlinks);
  TakeEvents();
  Control(kListening | kIndicatorOn);  // As a second press would do.
  EXPECT_EQ(TakeEvents(), kButton | kCommandCompleted);
  EXPECT_EQ(port.removal(), Removal::kAsked);
  Control(kListening | kIndicatorBlinks);
  EXPECT_EQ(TakeEvents(), kCommandCompleted);
  Control(kListening | kIndicatorOn);  // It means it.
  EXPECT_EQ(port.removal(), Removal::kNone);
}

TEST_F(HotPlugTest, AGuestThatListensLaterIsAskedThen) {
  Insert();
  port.RequestRemoval();
  TakeEvents();  // As a driver does that starts.
  Control(kListening | kIndicatorOn);
  EXPECT_EQ(TakeEvents(), kButton | kCommandCompleted);
  Control(kListening | kIndicatorOn);
  EXPECT_EQ(TakeEvents(), kCommandCompleted);
}

TEST_F(HotPlugTest, WhatTheGuestSwitchedOffByItselfIsReleasedWhenAskedFor) {
  Insert();
  Control(kIndicatorOff | kPowerOff);
  EXPECT_EQ(port.removal(), Removal::kNone);
  EXPECT_EQ(news, 0);
  TakeEvents();
  port.RequestRemoval();
  EXPECT_EQ(port.removal(), Removal::kReleased);
  EXPECT_EQ(TakeEvents(), 0);
  Control(kIndicatorOn);
  EXPECT_EQ(port.removal(), Removal::kAsked);
  EXPECT_EQ(CardId(), 0x00221234u);
}

TEST_F(HotPlugTest, ACardIsPulledOutWithoutAWord) {
  Insert();
  MapCard();
  Control(kListening | kIndicatorOn);
  TakeEvents();
  port.RequestRemoval();
  port.Remove();
  EXPECT_EQ(port.removal(), Removal::kNone);
  EXPECT_EQ(news, 0);
  EXPECT_TRUE(Line());
  EXPECT_EQ(TakeEvents(), kButton | kPresenceChanged | kLinkChanged);
  EXPECT_FALSE(Status() & kPresent);
  EXPECT_FALSE(LinkActive());
  EXPECT_EQ(CardId(), 0xffffffffu);
  EXPECT_EQ(machine.memory_reader.Read(kBar, 1), 0xffu);
}

TEST_F(HotPlugTest, EveryCommandIsCompleted) {
  Control(kEnableInterrupt | kEnableCommand | kIndicatorOn);
  EXPECT_TRUE(Line());
  EXPECT_EQ(TakeEvents(), kCommandCompleted);
  EXPECT_FALSE(Line());
  Port(express + 0x18, 4, kEnableInterrupt | kEnableCommand | kIndicatorOn | kCommandCompleted << 16);
  EXPECT_EQ(TakeEvents(), kCommandCompleted);
  Port(express + 0x10, 2, 0);  // Link control is no command of the slot's.
  EXPECT_EQ(TakeEvents(), 0);
}

TEST_F(HotPlugTest, ReservedIndicatorStatesChangeNothing) {
  Control(kIndicatorBlinks | 1 << 6);
  Control(0);
  EXPECT_EQ(Port(express + 0x18, 2) & 0x3c0, kIndicatorBlinks | 1u << 6);
}

TEST_F(HotPlugTest, InterruptsOnlyForWhatIsEnabled) {
  Insert();
  EXPECT_FALSE(Line());
  Control(kEnableButton | kIndicatorOn);
  EXPECT_FALSE(Line());
  Control(kEnableButton | kEnableInterrupt | kIndicatorOn);
  EXPECT_TRUE(Line());
  Port(express + 0x1a, 2, kButton);
  EXPECT_FALSE(Line());  // The others are not enabled.
}

TEST_F(HotPlugTest, TheLineFollowsTheCommandRegister) {
  Control(kListening | kIndicatorOn);
  Insert();
  EXPECT_TRUE(Line());
  EXPECT_TRUE(Port(pci::kStatus, 2) & pci::kStatusInterrupt);
  Port(pci::kCommand, 2, pci::kCommandIntxDisable);
  EXPECT_FALSE(Line());
  EXPECT_TRUE(Port(pci::kStatus, 2) & pci::kStatusInterrupt);
  Port(pci::kCommand, 2, 0);
  EXPECT_TRUE(Line());
}

TEST_F(HotPlugTest, AMessageForEachTimeThatThereIsSomething) {
  Port(msi + 4, 4, 0xfee00000);
  Port(msi + 12, 2, 0x41);
  Port(msi + 2, 2, 1);
  EXPECT_EQ(Port(msi, 4) >> 16, 0x81u);  // 64-bit, one vector, enabled.
  Control(kListening | kIndicatorOn);
  TakeEvents();
  FakeMsiVector& vector = *machine.interrupts.vector(0);
  EXPECT_EQ(vector.message(), (MsiMessage{0xfee00000, 0x41}));
  EXPECT_EQ(vector.TakeInterrupts(), 0u);
  Insert();
  EXPECT_EQ(vector.TakeInterrupts(), 1u);
  EXPECT_FALSE(Line());
  port.RequestRemoval();
  EXPECT_EQ(vector.TakeInterrupts(), 0u);  // Nothing was acknowledged.
  TakeEvents();
  port.RequestRemoval();
  EXPECT_EQ(vector.TakeInterrupts(), 1u);
}

TEST_F(HotPlugTest, AfterAResetACardHasPowerAndNothingIsAskedFor) {
  Insert();
  Control(kListening | kIndicatorBlinks | kPowerOff);
  port.RequestRemoval();
  machine.bridge.Reset();
  EXPECT_EQ(port.removal(), Removal::kNone);
  EXPECT_EQ(Status(), kPresent);
  EXPECT_TRUE(LinkActive());
  EXPECT_FALSE(Line());
  Port(pci::kSecondaryBus, 1, 1);
  Port(pci::kSubordinateBus, 1, 1);
  EXPECT_EQ(CardId(), 0x00221234u);
}

}  // namespace
}  // namespace berth::hw
