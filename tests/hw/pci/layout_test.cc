#include "hw/pci/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_pci_function.h"
#include "tests/fakes/fake_pci_machine.h"

namespace berth::hw {
namespace {

using testing::HasSubstr;

constexpr LayoutWindows kWindows = {map::kMmio32, {64 * kGiB, 1024 * kGiB}, map::kPciPorts};

FunctionNeeds Function(unsigned device, std::vector<BarRequest> bars) {
  return {.devfn = MakeDevfn(device, 0), .bars = std::move(bars), .behind = {}};
}
FunctionNeeds Bridge(unsigned device, std::vector<FunctionNeeds> behind) {
  return {.devfn = MakeDevfn(device, 0), .bars = {}, .is_bridge = true, .behind = std::move(behind)};
}
constexpr BarRequest Memory32(unsigned index, uint64_t size) { return {.index = index, .size = size}; }
constexpr BarRequest Memory64(unsigned index, uint64_t size) {
  return {.index = index, .size = size, .is_64bit = true, .prefetchable = true};
}
constexpr BarRequest Ports(unsigned index, uint64_t size) {
  return {.index = index, .size = size, .io = true};
}

// Every BAR of a plan lies aligned in its window and no two overlap.
void Collect(const std::vector<FunctionNeeds>& needs, const std::vector<FunctionPlan>& plans,
             std::vector<Range>* memory) {
  for (size_t i = 0; i < needs.size(); ++i) {
    for (size_t b = 0; b < needs[i].bars.size(); ++b) {
      const BarRequest& bar = needs[i].bars[b];
      const uint64_t address = plans[i].bars[b].second;
      EXPECT_TRUE(IsAligned(address, std::max(bar.size, bar.alignment)));
      if (!bar.io) memory->push_back({address, bar.size});
    }
    Collect(needs[i].behind, plans[i].behind, memory);
  }
}

TEST(PciLayout, BarsAreAlignedAndDisjoint) {
  const std::vector<FunctionNeeds> needs = {
      Function(1, {Memory32(0, 0x1000), Memory64(2, 16 * kGiB), Ports(4, 0x40)}),
      Bridge(2, {Function(0, {Memory64(0, 64 * kGiB), Memory32(2, 16 * kMiB), Memory64(4, 32 * kMiB)})}),
      Bridge(3, {Function(0, {Memory32(0, 0x4000)}), Function(1, {Memory32(0, 0x4000), Ports(1, 0x20)})}),
      Function(4, {Memory32(0, 0x10)})};
  const auto plan = PlanLayout(needs, kWindows);
  ASSERT_TRUE(plan) << plan.error().message();
  std::vector<Range> memory;
  Collect(needs, *plan, &memory);
  for (const Range& range : memory) {
    EXPECT_TRUE(kWindows.memory32.Contains(range.start, range.size) ||
                kWindows.memory64.Contains(range.start, range.size));
    for (const Range& other : memory) EXPECT_TRUE(&range == &other || !range.Overlaps(other));
  }
}

TEST(PciLayout, WindowsHoldWhatIsBehindTheirBridge) {
  const auto plan = PlanLayout(
      {Bridge(2, {Function(0, {Memory32(0, 0x1000), Memory64(2, kGiB), Ports(4, 0x20)})})}, kWindows);
  ASSERT_TRUE(plan);
  const FunctionPlan& bridge = plan->at(0);
  EXPECT_TRUE(bridge.memory.Contains(bridge.behind[0].bars[0].second, 0x1000));
  EXPECT_TRUE(bridge.prefetchable.Contains(bridge.behind[0].bars[1].second, kGiB));
  EXPECT_TRUE(bridge.io.Contains(bridge.behind[0].bars[2].second, 0x20));
  EXPECT_TRUE(IsAligned(bridge.memory.start | bridge.memory.size, kMiB));
  EXPECT_TRUE(IsAligned(bridge.io.start | bridge.io.size, 4 * kKiB));
}

TEST(PciLayout, BehindABridgeOnlyPrefetchableMemoryGoesHigh) {
  BarRequest plain = Memory64(0, kMiB);
  plain.prefetchable = false;
  const auto plan = PlanLayout({Function(1, {plain}), Bridge(2, {Function(0, {plain})})}, kWindows);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(kWindows.memory64.Contains(plan->at(0).bars[0].second));
  EXPECT_TRUE(kWindows.memory32.Contains(plan->at(1).behind[0].bars[0].second));
}

TEST(PciLayout, BusesAreNumberedDepthFirst) {
  const auto plan = PlanLayout({Bridge(1, {Bridge(0, {}), Bridge(1, {})}), Bridge(2, {})}, kWindows);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->at(0).secondary, 1);
  EXPECT_EQ(plan->at(0).subordinate, 3);
  EXPECT_EQ(plan->at(0).behind[0].secondary, 2);
  EXPECT_EQ(plan->at(0).behind[1].secondary, 3);
  EXPECT_EQ(plan->at(1).secondary, 4);
  EXPECT_EQ(plan->at(1).subordinate, 4);
}

TEST(PciLayout, WhatABridgeReservesIsKeptFree) {
  FunctionNeeds port = Bridge(1, {});
  port.reserved.memory = 2 * kMiB;
  port.reserved.prefetchable = 3 * kMiB;
  const auto plan = PlanLayout({port}, kWindows);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->at(0).memory.size, 2 * kMiB);
  EXPECT_EQ(plan->at(0).prefetchable.size, 3 * kMiB);
  EXPECT_EQ(plan->at(0).io.size, 0u);
}

// Whatever fits by its size fits by its alignment.
TEST(PciLayout, WhatIsReservedHoldsOneBarOfItsSize) {
  FunctionNeeds port = Bridge(2, {});
  port.reserved = {.memory = 16 * kMiB, .prefetchable = 8 * kGiB, .io = 0x1000};
  const auto plan =
      PlanLayout({Function(1, {Memory32(0, 0x1000), Memory64(2, kMiB), Ports(4, 0x20)}), port}, kWindows);
  ASSERT_TRUE(plan);
  const auto behind = PlanBehind(
      {Function(0, {Memory32(0, 16 * kMiB), Memory64(2, 8 * kGiB), Ports(4, 0x1000)})}, plan->at(1));
  ASSERT_TRUE(behind) << behind.error().message();
  EXPECT_EQ(behind->at(0).bars[0].second, plan->at(1).memory.start);
  EXPECT_EQ(behind->at(0).bars[1].second, plan->at(1).prefetchable.start);
  EXPECT_EQ(behind->at(0).bars[2].second, plan->at(1).io.start);
}

TEST(PciLayout, WhatComesLaterGoesIntoTheWindowsThatThereAre) {
  const auto plan =
      PlanLayout({Bridge(1, {Function(0, {Memory32(0, kMiB), Memory64(2, 16 * kMiB)})})}, kWindows);
  ASSERT_TRUE(plan);
  const auto same = PlanBehind({Function(0, {Memory32(0, kMiB), Memory64(2, 16 * kMiB)})}, plan->at(0));
  ASSERT_TRUE(same);
  EXPECT_EQ(same->at(0).bars, plan->at(0).behind[0].bars);
  const auto larger = PlanBehind({Function(0, {Memory64(2, 32 * kMiB)})}, plan->at(0));
  ASSERT_FALSE(larger);
  EXPECT_EQ(larger.error().reason(), "PCI_WINDOW_EXHAUSTED");
  EXPECT_THAT(larger.error().message(), HasSubstr("the port has 16 MiB"));
  EXPECT_FALSE(PlanBehind({Function(0, {Ports(0, 0x20)})}, plan->at(0)));
  EXPECT_TRUE(PlanBehind({}, plan->at(0)));
}

TEST(PciLayout, AnAlignmentBeyondTheSizeIsKept) {
  BarRequest bar = Memory64(0, 16 * kMiB);
  bar.alignment = kGiB;
  const auto plan =
      PlanLayout({Function(1, {Memory64(0, 32 * kMiB)}), Bridge(2, {Function(0, {bar})})}, kWindows);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(IsAligned(plan->at(1).behind[0].bars[0].second, kGiB));
}

TEST(PciLayout, AWindowThatIsTooSmallIsNamedWithItsSizes) {
  const auto plan = PlanLayout({Function(1, {Memory32(0, kGiB)})}, kWindows);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(plan.error().reason(), "PCI_WINDOW_EXHAUSTED");
  EXPECT_THAT(plan.error().message(), HasSubstr("1 GiB of 32-bit memory"));
  EXPECT_FALSE(PlanLayout({Function(1, {Ports(0, 0x8000), Ports(1, 0x8000)})}, kWindows));
}

TEST(PciLayout, TheNeedsOf64BitMemoryAreWhatAPlanTakes) {
  const std::vector<FunctionNeeds> needs = {Bridge(1, {Function(0, {Memory64(0, 64 * kGiB)})}),
                                            Bridge(2, {Function(0, {Memory64(0, 16 * kGiB)})})};
  const Memory64Needs memory = NeedsOfMemory64(needs);
  EXPECT_EQ(memory.size, 80 * kGiB);
  EXPECT_EQ(memory.largest, 64 * kGiB);
  EXPECT_TRUE(PlanLayout(needs, {map::kMmio32, {64 * kGiB, memory.size}, map::kPciPorts}));
  EXPECT_FALSE(PlanLayout(needs, {map::kMmio32, {64 * kGiB, memory.size - 1}, map::kPciPorts}));
}

TEST(PciLayout, OnceAppliedTheGuestFindsEverythingInPlace) {
  FakePciMachine machine;
  const std::vector<BarRequest> bars = {Memory32(0, 0x1000), Ports(1, 0x20), Memory64(2, kGiB)};
  PciBridge& port = machine.AddRootPort(1);
  ASSERT_TRUE(port.secondary().Add(0, std::make_unique<FakePciFunction>("behind", 0x22, bars)));
  ASSERT_TRUE(
      machine.bridge.root().Add(MakeDevfn(2, 0), std::make_unique<FakePciFunction>("direct", 0x33, bars)));
  const auto plan = PlanLayout(NeedsOf(machine.bridge.root()), kWindows);
  ASSERT_TRUE(plan);
  ApplyLayout(machine.bridge.root(), *plan);
  EXPECT_EQ(machine.Read(1, 0, 0, 4), 0x00221234u);
  const FunctionPlan &behind = plan->at(0).behind[0], &direct = plan->at(1);
  EXPECT_EQ(machine.memory_reader.Read(behind.bars[0].second, 1), 0x22u);
  EXPECT_EQ(machine.port_reader.Read(behind.bars[1].second, 1), 0x22u);
  EXPECT_EQ(machine.memory_reader.Read(behind.bars[2].second + kGiB - 1, 1), 0x22u);
  EXPECT_EQ(machine.memory_reader.Read(direct.bars[2].second, 1), 0x33u);
  EXPECT_EQ(machine.Read(0, MakeDevfn(2, 0), pci::kCommand, 2),
            uint32_t{pci::kCommandMemory | pci::kCommandIo});
}

}  // namespace
}  // namespace berth::hw
