#include "vfio/device_region.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "tests/vfio/vfio_device_fixture.h"

namespace berth::vfio {
namespace {

using testing::SizeIs;

struct DeviceRegionTest : VfioDeviceFixture {
  void Open() {
    fake.check_decode = false;
    VfioDeviceFixture::Open();
    region = std::make_unique<DeviceRegion>(device.get(), *device->Region(0));
  }
  std::unique_ptr<DeviceRegion> region;
};

TEST_F(DeviceRegionTest, ReadsAndWritesThroughTheDescriptor) {
  fake.AddBar(0, 4 * kKiB, 0, false);
  Open();
  region->Write(0x10, 4, 0x12345678);
  EXPECT_EQ(LoadLe<uint32_t>(fake.region(0).bytes + 0x10), 0x12345678u);
  EXPECT_EQ(region->Read(0x12, 2), 0x1234u);
  EXPECT_EQ(region->Read(0x10, 8), 0x12345678u);
  EXPECT_EQ(region->reads(), 2u);
  EXPECT_EQ(region->writes(), 1u);
  EXPECT_EQ(region->failures(), 0u);
}

TEST_F(DeviceRegionTest, WhatTheDeviceDoesNotAnswerReadsAsOnes) {
  fake.AddBar(0, 4 * kKiB, 0, false);
  Open();
  kernel.FailCall(FakeVfio::kPread, 1, EIO);
  EXPECT_EQ(region->Read(0, 4), 0xffffffffu);
  kernel.FailCall(FakeVfio::kPwrite, 1, EIO);
  region->Write(0, 4, 1);
  EXPECT_EQ(fake.region(0).bytes[0], 0);
  EXPECT_EQ(region->failures(), 2u);
}

TEST_F(DeviceRegionTest, AShortReadIsFilledWithOnes) {
  fake.AddBar(0, 4 * kKiB, 0, false);
  Open();
  kernel.short_reads = true;
  EXPECT_EQ(region->Read(0, 4), 0xffff0000u);
}

TEST_F(DeviceRegionTest, AccessesEndWithTheRegion) {
  fake.AddBar(0, 6, 1, false);  // Ports; the guest sees 8.
  Open();
  EXPECT_EQ(region->Read(4, 4), 0xffff0000u);
  EXPECT_EQ(region->Read(6, 2), 0xffffu);
  region->Write(4, 4, 0x11223344);
  EXPECT_EQ(fake.region(0).bytes[5], 0x33);
  EXPECT_EQ(fake.region(0).bytes[6], 0);
}

// docs/assigned-devices.md, 12: a driver may refuse what it did not offer.
TEST_F(DeviceRegionTest, MapsEachAreaAsItIs) {
  auto& bar = fake.AddBar(0, kMiB, 0, true);
  bar.sparse = {{0, 0x2000}, {0x8000, 0x1000}};
  bar.exact_maps = true;
  Open();
  ASSERT_TRUE(region->Map(region->info().mappable));
  ASSERT_THAT(region->mapped(), SizeIs(2));
  bar.bytes[0x8001] = 0x5a;
  EXPECT_EQ(region->mapped()[1].address[1], 0x5a);
}

TEST_F(DeviceRegionTest, AMapThatFailsLeavesTheOthers) {
  fake.AddBar(0, kMiB, 0, true).sparse = {{0, 0x2000}, {0x8000, 0x1000}};
  Open();
  kernel.FailCall(FakeVfio::kMap, 2, ENOMEM);
  EXPECT_FALSE(region->Map(region->info().mappable));
  EXPECT_THAT(region->mapped(), SizeIs(1));
}

// docs/assigned-devices.md, 15. The kernel's own mmap, on a file.
TEST(KernelSyscalls, MapsAtTheAlignmentAskedFor) {
  UniqueFd file(::memfd_create("region", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), 4 * kMiB), 0);
  const intptr_t address = KernelSyscalls().Map(file.get(), 4 * kKiB, 3 * kMiB, true, 4 * kMiB);
  ASSERT_GT(address, 0);
  EXPECT_TRUE(IsAligned(static_cast<uint64_t>(address), 4 * kMiB));
  auto* bytes = reinterpret_cast<uint8_t*>(address);
  bytes[3 * kMiB - 1] = 7;
  uint8_t read = 0;
  EXPECT_EQ(KernelSyscalls().Pread(file.get(), &read, 1, 3 * kMiB + 4 * kKiB - 1), 1);
  EXPECT_EQ(read, 7);
  KernelSyscalls().Unmap(bytes, 3 * kMiB);
  EXPECT_EQ(KernelSyscalls().Map(-1, 0, 4 * kKiB, true, 4 * kKiB), -EBADF);
}

}  // namespace
}  // namespace berth::vfio
