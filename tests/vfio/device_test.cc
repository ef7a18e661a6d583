#include "vfio/device.h"

#include <linux/vfio.h>

#include <cerrno>

#include "tests/vfio/vfio_device_fixture.h"

namespace berth::vfio {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

struct VfioDeviceTest : VfioDeviceFixture {};

TEST_F(VfioDeviceTest, SaysWhatItIs) {
  fake.resettable = false;
  Open();
  EXPECT_TRUE(device->is_pci());
  EXPECT_FALSE(device->resettable());
  EXPECT_EQ(device->region_count(), 9u);
}

TEST_F(VfioDeviceTest, ARegionIsMappableAsAWhole) {
  fake.AddBar(0, 16 * kMiB, 0x8, true);
  Open();
  const Result<RegionInfo> bar = device->Region(0);
  ASSERT_TRUE(bar);
  EXPECT_EQ(bar->size, 16 * kMiB);
  EXPECT_THAT(bar->mappable, ElementsAre(Range{0, 16 * kMiB}));
  EXPECT_FALSE(bar->msix_mappable);
}

TEST_F(VfioDeviceTest, WhatIsNotThereHasSizeZero) {
  Open();
  EXPECT_EQ(device->Region(0)->size, 0u);
  EXPECT_EQ(device->Region(VFIO_PCI_VGA_REGION_INDEX)->size, 0u);  // The kernel: EINVAL.
  EXPECT_EQ(device->Region(77)->size, 0u);
  EXPECT_EQ(device->Interrupts(VFIO_PCI_MSIX_IRQ_INDEX)->count, 0u);
  EXPECT_EQ(device->Interrupts(77)->count, 0u);
}

// docs/assigned-devices.md, 11 and 12: the capabilities come with a second, larger question.
TEST_F(VfioDeviceTest, ReadsSparseAreasExactly) {
  auto& bar = fake.AddBar(0, kMiB, 0, true);
  bar.sparse = {{0x8000, 0x1000}, {0, 0x3000}};
  bar.msix_mappable = true;
  Open();
  const Result<RegionInfo> region = device->Region(0);
  ASSERT_TRUE(region);
  EXPECT_THAT(region->mappable, ElementsAre(Range{0, 0x3000}, Range{0x8000, 0x1000}));
  EXPECT_TRUE(region->msix_mappable);
  EXPECT_EQ(kernel.Count(VFIO_DEVICE_GET_REGION_INFO), 2);
}

TEST_F(VfioDeviceTest, SparseAreasThatCannotBeAreLeftOut) {
  fake.AddBar(0, kMiB, 0, true).sparse = {
      {0x800, 0x1000},             // Off the page.
      {0x2000, 0},                 // Empty.
      {0xff000, 0x2000},           // Beyond the end.
      {~uint64_t{0xfff}, 0x2000},  // Wraps.
      {0x4000, 0x2000},
      {0x5000, 0x2000},  // Overlap.
  };
  Open();
  EXPECT_THAT(device->Region(0)->mappable, ElementsAre(Range{0x4000, 0x2000}));
}

// docs/assigned-devices.md, 14: the kernel says so where nothing else is in the page.
TEST_F(VfioDeviceTest, LessThanAPageIsMappableWhereItIsAloneInIt) {
  fake.AddBar(0, 256, 0, true);
  fake.AddBar(1, 256, 0, false);
  Open();
  EXPECT_THAT(device->Region(0)->mappable, ElementsAre(Range{0, 4096}));
  EXPECT_EQ(device->Region(0)->size, 256u);
  EXPECT_THAT(device->Region(1)->mappable, SizeIs(0));
}

TEST_F(VfioDeviceTest, RegionsBeyondTheFixedOnesHaveATypeOfTheirOwn) {
  fake.AddRegion(9, 4 * kKiB, VFIO_REGION_INFO_FLAG_READ).type = {VFIO_REGION_TYPE_GFX,
                                                                  VFIO_REGION_SUBTYPE_GFX_EDID};
  Open();
  const Result<RegionInfo> region = device->Region(9);
  ASSERT_TRUE(region && region->type);
  EXPECT_EQ(region->type->subtype, uint32_t{VFIO_REGION_SUBTYPE_GFX_EDID});
  EXPECT_FALSE(region->writable);
}

TEST_F(VfioDeviceTest, ReadsInterrupts) {
  fake.irqs[VFIO_PCI_MSIX_IRQ_INDEX] = {64, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, {}};
  Open();
  const Result<InterruptInfo> msix = device->Interrupts(VFIO_PCI_MSIX_IRQ_INDEX);
  ASSERT_TRUE(msix);
  EXPECT_EQ(msix->count, 64u);
  EXPECT_TRUE(msix->no_resize && msix->eventfd && !msix->automasked);
}

// docs/assigned-devices.md, 31: the two calls of a question with an unknown number of answers.
TEST_F(VfioDeviceTest, ReadsWhatAHotResetResets) {
  fake.dependents = {
      {.group = 7, .bus = 1, .devfn = 0}, {.group = 8, .bus = 1, .devfn = 1}, {.group = 9, .bus = 2}};
  Open();
  const auto dependents = device->HotResetDependents();
  ASSERT_TRUE(dependents);
  ASSERT_THAT(*dependents, SizeIs(3));
  EXPECT_EQ((*dependents)[1].group, 8u);
  EXPECT_EQ((*dependents)[1].devfn, 1u);
  EXPECT_EQ(kernel.Count(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO), 2);
}

TEST_F(VfioDeviceTest, SaysThatThereIsNoHotReset) {
  Open();
  EXPECT_EQ(device->HotResetDependents().error().code(), Code::kUnimplemented);
}

TEST_F(VfioDeviceTest, FailuresOfTheKernelAreToldWithTheDevice) {
  Open();
  kernel.FailCall(VFIO_DEVICE_RESET, 1, EIO);
  EXPECT_THAT(device->Reset().error().message(), testing::HasSubstr("0000:01:00.0"));
  kernel.FailCall(VFIO_DEVICE_GET_REGION_INFO, 1, EIO);
  EXPECT_FALSE(device->Region(0));
  kernel.FailCall(VFIO_DEVICE_GET_IRQ_INFO, 1, EIO);
  EXPECT_FALSE(device->Interrupts(0));
}

}  // namespace
}  // namespace berth::vfio
