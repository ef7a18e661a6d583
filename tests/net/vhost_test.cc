#include "net/vhost.h"

#define VIRTIO_RING_NO_LEGACY
#include <linux/vhost.h>

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_vhost.h"

namespace berth::net {
namespace {

constexpr uint64_t kVersion1 = 1ull << 32, kMergeable = 1ull << 15, kHeaderOfVhost = 1ull << 27;

const std::array<VhostRing, 2> kRings = {
    VhostRing{.size = 256,
              .available_index = 7,
              .descriptor_area = 0x1000,
              .driver_area = 0x2000,
              .device_area = 0x3000,
              .kick_fd = 50,
              .call_fd = 51},
    VhostRing{
        .size = 128, .descriptor_area = 0x4000, .driver_area = 0x5000, .device_area = 0x6000, .kick_fd = 60}};
const std::vector<VhostRange> kMemory = {{0, 0x10000, 0x7f0000000000},
                                         {0x100000000, 0x20000, 0x7f1000000000}};

TEST(VhostNet, HasTheKernelsFeaturesButThoseOfVhostAlone) {
  FakeVhost kernel;
  kernel.offered = kVersion1 | kMergeable | kHeaderOfVhost | 1ull << 33;
  const auto vhost = kernel.Open();
  ASSERT_TRUE(vhost);
  EXPECT_EQ((*vhost)->features(), kVersion1 | kMergeable);
  EXPECT_TRUE(kernel.owned);
}

TEST(VhostNet, TellsTheKernelWhereEverythingIs) {
  FakeVhost kernel;
  kernel.offered = kVersion1 | kMergeable;
  auto vhost = *kernel.Open();
  ASSERT_TRUE(vhost->Start(kVersion1 | kMergeable | 1ull << 5, kMemory, kRings, 70));
  EXPECT_EQ(kernel.features, kVersion1 | kMergeable);
  ASSERT_EQ(kernel.memory.size(), 2u);
  EXPECT_EQ(kernel.memory[1].guest_address, 0x100000000u);
  EXPECT_EQ(kernel.memory[1].size, 0x20000u);
  EXPECT_EQ(kernel.memory[1].user_address, 0x7f1000000000u);
  EXPECT_EQ(kernel.rings[0].size, 256u);
  EXPECT_EQ(kernel.rings[0].base, 7u);
  EXPECT_EQ(kernel.rings[0].descriptors, 0x1000u);
  EXPECT_EQ(kernel.rings[0].available, 0x2000u);
  EXPECT_EQ(kernel.rings[0].used, 0x3000u);
  EXPECT_EQ(kernel.rings[0].kick, 50);
  EXPECT_EQ(kernel.rings[0].call, 51);
  EXPECT_EQ(kernel.rings[0].error, vhost->error_fd());
  EXPECT_EQ(kernel.rings[1].call, -1);
  EXPECT_EQ(kernel.rings[0].backend, 70);
  EXPECT_EQ(kernel.rings[1].backend, 70);
}

TEST(VhostNet, TakesEverythingBackWhenItStops) {
  FakeVhost kernel;
  auto vhost = *kernel.Open();
  ASSERT_TRUE(vhost->Start(kVersion1, kMemory, kRings, 70));
  vhost->Stop();
  for (const FakeVhost::Ring& ring : kernel.rings) {
    EXPECT_EQ(ring.backend, -1);
    EXPECT_EQ(ring.kick, -1);
    EXPECT_EQ(ring.call, -1);
  }
  // And can be started again.
  ASSERT_TRUE(vhost->Start(kVersion1, kMemory, kRings, 70));
  EXPECT_EQ(kernel.rings[0].backend, 70);
  vhost.reset();
  EXPECT_EQ(kernel.rings[0].backend, -1);
}

TEST(VhostNet, AFailureOnTheWayLeavesNothingRunning) {
  for (unsigned long request : {VHOST_SET_FEATURES, VHOST_SET_MEM_TABLE, VHOST_SET_VRING_NUM,
                                VHOST_SET_VRING_BASE, VHOST_SET_VRING_ADDR}) {
    FakeVhost kernel;
    auto vhost = *kernel.Open();
    kernel.refuse[request] = EFAULT;
    EXPECT_FALSE(vhost->Start(kVersion1, kMemory, kRings, 70));
    for (const FakeVhost::Ring& ring : kernel.rings) {
      EXPECT_EQ(ring.backend, -1);
      EXPECT_EQ(ring.kick, -1);
    }
  }
}

TEST(VhostNet, RefusesMemoryInMorePiecesThanTheKernelTakes) {
  FakeVhost kernel;
  auto vhost = *kernel.Open();
  const std::vector<VhostRange> many(kMaxVhostRanges + 1);
  const auto started = vhost->Start(kVersion1, many, kRings, 70);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), Code::kResourceExhausted);
}

TEST(VhostNet, ADescriptorThatIsInUseOrNoVhostIsRefused) {
  FakeVhost kernel;
  kernel.owned = true;
  EXPECT_EQ(kernel.Open().error().code(), Code::kFailedPrecondition);
  EXPECT_FALSE(VhostNet::Open(*CreateEventFd()));  // The system's own ioctl, on an eventfd.
}

}  // namespace
}  // namespace berth::net
