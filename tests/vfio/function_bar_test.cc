#include "vfio/function_bar.h"

#include <cerrno>

#include "hw/memory/address_space.h"
#include "tests/vfio/vfio_device_fixture.h"

namespace berth::vfio {
namespace {

using Kind = hw::Region::Kind;
using testing::ElementsAre;

struct FunctionBarTest : VfioDeviceFixture {
  void Create(std::vector<Range> map, std::vector<Range> show) {
    fake.check_decode = false;
    Open();
    const uint64_t size = fake.region(0).size;
    auto made = FunctionBar::Create(
        device.get(), {.request = {.size = std::max<uint64_t>(size, 16)}, .map = map, .show = show},
        *device->Region(0));
    ASSERT_TRUE(made) << made.error().message();
    bar = std::move(*made);
  }
  // The bar at address 0 of a space of its own.
  void Place() {
    hw::AddressSpace::Transaction transaction(space);
    space.root().Add(bar->region(), 0);
  }
  std::vector<std::pair<Kind, Range>> View() {
    std::vector<std::pair<Kind, Range>> view;
    for (const hw::FlatRange& range : space.view()->ranges) view.emplace_back(range.kind, range.range());
    return view;
  }

  std::unique_ptr<FunctionBar> bar;
  hw::AddressSpace space{"memory", kGiB};
  hw::ViewReader reader{space};
};

TEST_F(FunctionBarTest, ShowsMappedPartsAndTrapsTheRest) {
  fake.AddBar(0, 0x4000, 0, true);
  Create({{0, 0x4000}}, {{0, 0x1000}, {0x3000, 0x1000}});
  Place();
  EXPECT_THAT(View(), ElementsAre(std::pair(Kind::kDeviceMemory, Range{0, 0x1000}),
                                  std::pair(Kind::kIo, Range{0x1000, 0x2000}),
                                  std::pair(Kind::kDeviceMemory, Range{0x3000, 0x1000})));
  // The mapping of the last part shows the device's bytes there.
  fake.region(0).bytes[0x3008] = 0x42;
  EXPECT_EQ(space.view()->ranges[2].mapping.address[8], 0x42);
}

// docs/assigned-devices.md, 26.
TEST_F(FunctionBarTest, IsTakenFromSightAndShownAgain) {
  fake.AddBar(0, 0x4000, 0, true);
  Create({{0, 0x4000}}, {{0, 0x1000}, {0x3000, 0x1000}});
  Place();
  const auto before = View();
  for (const bool mapped : {false, true}) {
    hw::AddressSpace::Transaction transaction(space);
    bar->SetMapped(mapped);
    ASSERT_TRUE(transaction.Commit());
    EXPECT_EQ(View(), mapped ? before : (decltype(before){{Kind::kIo, Range{0, 0x4000}}}));
  }
}

// A vCPU on its way to mapped memory that is no longer mapped there must not touch the mapping: see 16 in
// docs/assigned-devices.md.
TEST_F(FunctionBarTest, AccessesThatTrapGoThroughTheDescriptor) {
  fake.AddBar(0, 0x4000, 0, true);
  Create({{0, 0x4000}}, {{0, 0x1000}, {0x3000, 0x1000}});
  Place();
  reader.Write(0x3010, 4, 0xcafe);
  EXPECT_EQ(LoadLe<uint32_t>(fake.region(0).bytes + 0x3010), 0xcafeu);
  EXPECT_EQ(reader.Read(0x3010, 4), 0xcafeu);
  EXPECT_EQ(bar->device_region()->reads(), 1u);
  kernel.FailCall(FakeVfio::kPread, 1, EIO);
  EXPECT_EQ(reader.Read(0x3010, 4), 0xffffffffu);
  EXPECT_EQ(reader.Read(0x1ffc, 8), 0u);
}

TEST_F(FunctionBarTest, PutsStructuresOnTop) {
  fake.AddBar(0, 0x4000, 0, true);
  Create({{0, 0x4000}}, {{0, 0x2000}, {0x3000, 0x1000}});
  struct Table final : hw::IoHandler {
    uint64_t Read(uint64_t offset, unsigned) override { return 0x100 + offset; }
    void Write(uint64_t, unsigned, uint64_t) override {}
  } table;
  bar->PutOnTop("table", 0x2800, 0x40, &table);
  Place();
  EXPECT_EQ(reader.Read(0x2808, 4), 0x108u);
  EXPECT_EQ(reader.Read(0x2840, 4), 0u);
  bar.reset();
}

TEST_F(FunctionBarTest, WhatCannotBeMappedTraps) {
  fake.AddBar(0, 0x4000, 0, true);
  kernel.FailCall(FakeVfio::kMap, 1, EINVAL);
  Create({{0, 0x4000}}, {{0, 0x4000}});
  Place();
  EXPECT_THAT(View(), ElementsAre(std::pair(Kind::kIo, Range{0, 0x4000})));
}

// docs/assigned-devices.md, 17.
TEST_F(FunctionBarTest, ABarThatTheHostHasNotPlacedIsRefused) {
  fake.AddBar(0, 0x4000, 0, true);
  Open();
  kernel.FailCall(FakeVfio::kMap, 1, EINVAL);
  const BarPlan plan{
      .request = {.size = 0x4000}, .map = {{0, 0x4000}}, .show = {{0, 0x4000}}, .unassigned = true};
  EXPECT_EQ(FunctionBar::Create(device.get(), plan, *device->Region(0)).error().reason(), "BAR_UNASSIGNED");
}

}  // namespace
}  // namespace berth::vfio
