// What a lying driver can do to a packed ring.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/virtio/ring.h"
#include "tests/hw/virtio/queue_fixture.h"

namespace berth::hw {
namespace {

using testing::HasSubstr;

constexpr uint16_t kAvailable = 1 << 7, kUsed = 1 << 15;

struct PackedPair : QueuePair {
  explicit PackedPair(uint64_t features = 0, uint16_t size = 8)
      : QueuePair(features | kVirtioRingPacked, size) {}
  FakePackedDriver& packed() { return static_cast<FakePackedDriver&>(*driver); }
};

TEST(PackedQueue, OnlyTheRightPairOfBitsIsAvailable) {
  for (const uint16_t flags : {uint16_t{0}, kUsed, static_cast<uint16_t>(kAvailable | kUsed)}) {
    PackedPair pair;
    pair.packed().SetDescriptor(0, 0x10000, 1, 0, flags);
    EXPECT_TRUE(pair.Empty()) << flags;
  }
}

TEST(PackedQueue, AListThatNeverEndsBreaksIt) {
  PackedPair pair;
  for (uint16_t i = 0; i < 8; ++i)
    pair.packed().SetDescriptor(i, 0x10000, 1, i, kAvailable | kDescriptorNext);
  EXPECT_THAT(pair.Broken(), HasSubstr("loops"));
}

TEST(PackedQueue, AListAsLongAsTheRingIsAllowed) {
  PackedPair pair;
  pair.packed().Add(std::vector<FakeBuffer>(8, {0x10000, 1, false}));
  const DescriptorChain chain = pair.Pop();
  EXPECT_EQ(chain.readable.size(), 8u);
  EXPECT_EQ(chain.descriptors, 8);
}

TEST(PackedQueue, MoreEntriesThanTheRingHasBreakIt) {
  PackedPair pair;
  for (int i = 0; i < 3; ++i) {
    pair.packed().Add({{0x10000, 1, false}, {0x10000, 1, false}});
    pair.Pop();
  }
  // Two entries are left, and the list goes on into those in flight.
  for (uint16_t i : {6, 7}) pair.packed().SetDescriptor(i, 0x10000, 1, 7, kAvailable | kDescriptorNext);
  EXPECT_THAT(pair.Broken(), HasSubstr("room"));
}

TEST(PackedQueue, TheSameEntriesMadeAvailableAgainAreBounded) {
  PackedPair pair;
  for (uint16_t i = 0; i < 8; ++i) {
    pair.packed().SetDescriptor(i, 0x10000, 1, 0, kAvailable);
    pair.Pop();
  }
  pair.packed().SetDescriptor(0, 0x10000, 1, 0, kUsed);  // Available in the ring's next round.
  EXPECT_THAT(pair.Broken(), HasSubstr("room"));
}

TEST(PackedQueue, AnIdIsOnlyHandedBack) {
  PackedPair pair;
  pair.packed().SetDescriptor(0, 0x10000, 1, 0xabcd, kAvailable);
  const DescriptorChain chain = pair.Pop();
  EXPECT_EQ(chain.id, 0xabcd);
  pair.queue->Push(chain, 0);
  EXPECT_EQ(pair.ram.Get<uint16_t>(pair.driver->layout().descriptor_area + 12), 0xabcd);
}

// Driver requirement of 2.8.19: no INDIRECT in a list linked by NEXT.
TEST(PackedQueue, AnIndirectDescriptorInAListBreaksIt) {
  {
    PackedPair pair(kVirtioRingIndirectDesc);
    pair.packed().SetDescriptor(1, 0x20000, 16, 0, kAvailable | kDescriptorIndirect);
    pair.packed().SetDescriptor(0, 0x10000, 1, 0, kAvailable | kDescriptorNext);
    EXPECT_THAT(pair.Broken(), HasSubstr("in a list"));
  }
  PackedPair pair(kVirtioRingIndirectDesc);
  pair.packed().SetDescriptor(0, 0x20000, 16, 0, kAvailable | kDescriptorIndirect | kDescriptorNext);
  EXPECT_THAT(pair.Broken(), HasSubstr("in a list"));
}

TEST(PackedQueue, FlagsInAnIndirectTableMeanNothingButWrite) {
  PackedPair pair(kVirtioRingIndirectDesc);
  const uint64_t table = pair.ram.Allocate(32);
  for (uint64_t i = 0; i < 2; ++i) {
    pair.ram.Set<uint64_t>(table + 16 * i, 0x10000);
    pair.ram.Set<uint32_t>(table + 16 * i + 8, 4);
    pair.ram.Set<uint16_t>(table + 16 * i + 14, 0xfffd | (i == 1 ? kDescriptorWrite : 0));
  }
  pair.packed().AddTable(table, 32);
  const DescriptorChain chain = pair.Pop();
  EXPECT_EQ(chain.readable_bytes(), 4u);
  EXPECT_EQ(chain.writable_bytes(), 4u);
}

TEST(PackedQueue, AUsedDescriptorSaysWhetherAnythingWasWritten) {
  PackedPair pair;
  for (const uint32_t written : {0u, 3u}) {
    const uint64_t at = pair.driver->layout().descriptor_area + (written ? 16 : 0);
    pair.driver->Add({pair.driver->Writable(4)});
    pair.queue->Push(pair.Pop(), written);
    EXPECT_EQ(pair.ram.Get<uint16_t>(at + 14), kAvailable | kUsed | (written ? kDescriptorWrite : 0));
  }
}

TEST(PackedQueue, AnySizeWillDo) {
  PackedPair pair(kVirtioRingEventIdx, 7);
  const FakeBuffer buffer = pair.driver->Writable(4);
  for (uint32_t i = 0; i < 100; ++i) {
    pair.driver->EnableInterrupts();
    pair.driver->Add({buffer, buffer, buffer});
    EXPECT_TRUE(pair.driver->KickWanted());
    pair.queue->Push(pair.Pop(), i);
    pair.queue->Notify();
    EXPECT_TRUE(pair.Interrupted());
    EXPECT_EQ(pair.driver->TakeUsed()->written, i);
  }
}

TEST(PackedQueue, ReservedEventFlagsAndPositionsOutsideTheRingDoNoHarm) {
  PackedPair pair(kVirtioRingEventIdx);
  for (uint32_t word = 0; word < 0x10000; word += 13) {
    pair.ram.Set<uint16_t>(pair.driver->layout().driver_area, static_cast<uint16_t>(word * 7));
    pair.ram.Set<uint16_t>(pair.driver->layout().driver_area + 2, static_cast<uint16_t>(word));
    pair.driver->Add({pair.driver->Writable(1)});
    pair.queue->Push(pair.Pop(), 0);
    pair.queue->Notify();
    EXPECT_TRUE(pair.driver->TakeUsed());
  }
}

TEST(PackedQueue, TellsWhereItStandsWithItsWrapCounter) {
  PackedPair pair;
  EXPECT_EQ(pair.queue->available_index(), 0x8000);
  for (int i = 0; i < 8; ++i) {
    pair.driver->Add({pair.driver->Writable(1)});
    pair.queue->Push(pair.Pop(), 0);
  }
  EXPECT_EQ(pair.queue->available_index(), 0);
}

}  // namespace
}  // namespace berth::hw
