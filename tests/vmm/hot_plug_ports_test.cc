#include "vmm/hot_plug_ports.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_pci_function.h"
#include "tests/fakes/fake_pci_machine.h"

namespace berth::vmm {
namespace {

using namespace hw;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint16_t kSlotControl = 0x40 + 0x18, kSlotStatus = 0x40 + 0x1a;  // Behind the capability's start.
constexpr uint16_t kIndicatorOn = 1 << 8, kIndicatorBlinks = 2 << 8, kIndicatorOff = 3 << 8,
                   kPowerOff = 1 << 10;

// Ports as devices 1, 2, … of the root bus, and a guest that is played by hand.
struct HotPlugPortsTest : testing::Test {
  void AddPort(const WindowSizes& reserved, std::optional<uint32_t> node = std::nullopt) {
    const auto address = ports.Add({.device = ++last_port, .reserved = reserved, .node = node}, nullptr);
    ASSERT_TRUE(address) << address.error().message();
    EXPECT_EQ(*address, fmt::format("0000:{:02x}:00.0", last_port));
  }
  void Start() {
    const auto plan =
        PlanLayout(NeedsOf(machine.bridge.root()), {map::kMmio32, FakePciMachine::kMemory64, map::kPciPorts});
    ASSERT_TRUE(plan) << plan.error().message();
    layout = *plan;
    ports.SetWindows(layout);
    ApplyLayout(machine.bridge.root(), layout);
  }
  static std::unique_ptr<FakePciFunction> Card(uint64_t size = 0x1000) {
    return std::make_unique<FakePciFunction>("card", 0x22,
                                             std::vector<BarRequest>{{.index = 0, .size = size}});
  }
  Result<std::string> Plug(const std::string& id, uint64_t size = 0x1000,
                           std::optional<uint32_t> node = std::nullopt) {
    auto card = Card(size);
    alive = card->alive;
    return ports.Plug(id, node, std::move(card));
  }
  void Guest(unsigned port, uint16_t slot_control) {
    machine.Write(0, MakeDevfn(port, 0), kSlotControl, 2, slot_control);
  }
  void GiveUp(unsigned port) {
    Guest(port, kIndicatorBlinks);
    Guest(port, kIndicatorBlinks | kPowerOff);
    Guest(port, kIndicatorOff | kPowerOff);
  }
  void RunLoop() {
    loop->Post([this] { loop->Stop(); });
    loop->Run();
  }

  const std::unique_ptr<EventLoop> loop = *EventLoop::Create();
  std::vector<std::string> told;
  std::weak_ptr<int> alive;  // The card that was made last.
  FakePciMachine machine;
  HotPlugPorts ports{{&machine.bridge, &machine.memory, &machine.ports, loop.get()},
                     {.gone =
                          [this](const std::string& id, const std::string& why) {
                            EXPECT_TRUE(alive.expired());
                            told.push_back(id + ": " + why);
                          },
                      .declined = [this](const std::string& id) { told.push_back(id + " is kept"); }}};
  std::vector<FunctionPlan> layout;
  unsigned last_port = 0;
};

TEST_F(HotPlugPortsTest, ADeviceGoesToTheSmallestPortThatHoldsIt) {
  AddPort({.memory = 64 * kMiB});
  AddPort({.memory = kMiB});
  AddPort({.memory = 8 * kMiB});
  Start();
  EXPECT_EQ(*Plug("a", 2 * kMiB), "0000:03:00.0");
  EXPECT_EQ(*Plug("b"), "0000:02:00.0");
  const auto large = Plug("c", 128 * kMiB);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().reason(), "PCI_WINDOW_EXHAUSTED");
  EXPECT_THAT(large.error().message(), HasSubstr("(1 of 3)"));
  EXPECT_THAT(large.error().message(), HasSubstr("64 MiB"));
  EXPECT_TRUE(alive.expired());
  EXPECT_EQ(*Plug("c"), "0000:01:00.0");
  const auto fourth = Plug("d");
  ASSERT_FALSE(fourth);
  EXPECT_EQ(fourth.error().reason(), "NO_FREE_PORT");
  EXPECT_THAT(fourth.error().message(), HasSubstr("3 hot-plug ports"));
}

TEST_F(HotPlugPortsTest, APortOfItsNodeComesFirst) {
  AddPort({.memory = kMiB}, 0);
  AddPort({.memory = 2 * kMiB}, 1);
  Start();
  EXPECT_EQ(*Plug("a", 0x1000, 1), "0000:02:00.0");
  EXPECT_EQ(*Plug("b", 0x1000, 1), "0000:01:00.0");
}

TEST_F(HotPlugPortsTest, WithoutPortsNothingIsPlugged) {
  Start();
  EXPECT_EQ(Plug("a").error().reason(), "NO_FREE_PORT");
  EXPECT_EQ(ports.Unplug("a", false).error().reason(), "NOT_HOTPLUGGABLE");
}

TEST_F(HotPlugPortsTest, ACardThatCannotAttachLeavesThePortFree) {
  AddPort({.memory = kMiB});
  Start();
  auto card = Card();
  card->refuse = true;
  EXPECT_FALSE(ports.Plug("a", std::nullopt, std::move(card)));
  EXPECT_TRUE(Plug("a"));
}

TEST_F(HotPlugPortsTest, TheGuestIsAskedAndGivesItUp) {
  AddPort({.memory = kMiB});
  Start();
  ASSERT_TRUE(Plug("a"));
  Guest(1, kIndicatorOn);
  EXPECT_FALSE(ports.Pending("a"));
  ASSERT_TRUE(ports.Unplug("a", false));
  EXPECT_TRUE(ports.Pending("a"));
  EXPECT_TRUE(machine.Read(0, MakeDevfn(1, 0), kSlotStatus, 2) & 1);
  EXPECT_EQ(ports.Unplug("a", false).error().reason(), "UNPLUG_PENDING");
  EXPECT_EQ(ports.CheckFree().error().reason(), "NO_FREE_PORT");
  GiveUp(1);
  EXPECT_FALSE(alive.expired());  // Not in the guest's thread.
  RunLoop();
  EXPECT_THAT(told, ElementsAre("a: the guest gave it up"));
  EXPECT_FALSE(ports.Pending("a"));
  EXPECT_EQ(*Plug("a"), "0000:01:00.0");
}

TEST_F(HotPlugPortsTest, WhatTheGuestHasSwitchedOffIsTakenAtOnce) {
  AddPort({.memory = kMiB});
  Start();
  ASSERT_TRUE(Plug("a"));
  GiveUp(1);
  RunLoop();
  EXPECT_TRUE(told.empty());  // It was not asked for.
  ASSERT_TRUE(ports.Unplug("a", false));
  EXPECT_THAT(told, ElementsAre("a: the guest gave it up"));
}

TEST_F(HotPlugPortsTest, AGuestThatKeepsItIsAskedAgain) {
  AddPort({.memory = kMiB});
  Start();
  Guest(1, kIndicatorOff | kPowerOff);
  ASSERT_TRUE(Plug("a"));
  Guest(1, kIndicatorBlinks | kPowerOff);
  Guest(1, kIndicatorOn);
  ASSERT_TRUE(ports.Unplug("a", false));
  Guest(1, kIndicatorBlinks);
  Guest(1, kIndicatorOn);
  RunLoop();
  EXPECT_THAT(told, ElementsAre("a is kept"));
  EXPECT_TRUE(ports.Unplug("a", false));
}

TEST_F(HotPlugPortsTest, ForceTakesItWhileTheGuestIsAsked) {
  AddPort({.memory = kMiB});
  Start();
  ASSERT_TRUE(Plug("a"));
  ASSERT_TRUE(ports.Unplug("a", false));
  GiveUp(1);
  ASSERT_TRUE(ports.Unplug("a", true));
  EXPECT_THAT(told, ElementsAre("a: it was taken from the guest"));
  // What the guest did for the first is nothing to the next in its place.
  ASSERT_TRUE(Plug("b"));
  RunLoop();
  EXPECT_EQ(told.size(), 1u);
  EXPECT_FALSE(alive.expired());
}

TEST_F(HotPlugPortsTest, AResetEndsWhatIsUnderWay) {
  AddPort({.memory = kMiB});
  AddPort({.memory = kMiB});
  Start();
  ASSERT_TRUE(Plug("stays"));
  ASSERT_TRUE(Plug("goes"));
  ASSERT_TRUE(ports.Unplug("goes", false));
  ports.CompleteRemovals("the machine was reset");
  EXPECT_THAT(told, ElementsAre("goes: the machine was reset"));
  EXPECT_FALSE(ports.Pending("stays"));
}

TEST_F(HotPlugPortsTest, AfterAResetWhatWasPluggedIsInPlace) {
  AddPort({.memory = kMiB});
  ASSERT_TRUE(ports.Add({.device = 2, .reserved = {}, .node = {}, .id = "first"}, Card(0x4000)));
  Start();
  EXPECT_EQ(machine.Read(2, 0, 0, 4), 0x00221234u);
  EXPECT_EQ(machine.Read(0, MakeDevfn(2, 0), kSlotStatus, 2), 1u << 6);  // There from the start: no event.
  const uint64_t window = layout[1].memory.start;
  ASSERT_TRUE(ports.Unplug("first", true));
  ASSERT_TRUE(Plug("second", 0x2000));
  ASSERT_TRUE(Plug("third"));
  machine.bridge.Reset();
  ASSERT_TRUE(ports.PlanCards(&layout));
  ApplyLayout(machine.bridge.root(), layout);
  EXPECT_EQ(machine.Read(2, 0, 0x10, 4), window);
  EXPECT_EQ(machine.memory_reader.Read(window, 1), 0x22u);
  EXPECT_EQ(machine.memory_reader.Read(layout[0].memory.start, 1), 0x22u);
}

// A vCPU that accesses it in every way meanwhile: under the sanitizers an access too late is an error.
TEST_F(HotPlugPortsTest, AVcpuMayAccessItToTheEnd) {
  AddPort({.memory = kMiB});
  Start();
  const uint64_t bar = layout[0].memory.start;
  std::atomic<bool> over{false};
  std::thread vcpu([&] {
    ViewReader reader(machine.memory);
    while (!over) {
      machine.Write(1, 0, 0x10, 4, static_cast<uint32_t>(bar));
      machine.Write(1, 0, pci::kCommand, 2, 2);
      const uint64_t read = reader.Read(bar, 1);
      EXPECT_TRUE(read == 0x22 || read == 0xff) << read;
    }
  });
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(Plug("a"));
    ASSERT_TRUE(ports.Unplug("a", true));
  }
  over = true;
  vcpu.join();
  EXPECT_EQ(told.size(), 200u);
}

}  // namespace
}  // namespace berth::vmm
