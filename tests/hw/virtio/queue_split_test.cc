// What a lying driver can do to a split ring.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/virtio/ring.h"
#include "tests/hw/virtio/queue_fixture.h"

namespace berth::hw {
namespace {

using testing::HasSubstr;

struct SplitPair : QueuePair {
  explicit SplitPair(uint64_t features = 0) : QueuePair(features) {}
  FakeSplitDriver& split() { return static_cast<FakeSplitDriver&>(*driver); }
};

TEST(SplitQueue, AnAvailableIndexThatJumpsBreaksIt) {
  for (const uint16_t index : {9, 100, 0x7fff, 0xffff}) {
    SplitPair pair;
    pair.split().SetAvailableIndex(index);
    EXPECT_THAT(pair.Broken(), HasSubstr("index went from 0"));
  }
}

TEST(SplitQueue, AHeadOutsideTheTableBreaksIt) {
  SplitPair pair;
  pair.split().MakeAvailable(8);
  EXPECT_EQ(pair.Broken(), "descriptor 8 of 8");
}

TEST(SplitQueue, ANextOutsideTheTableBreaksIt) {
  SplitPair pair;
  pair.split().SetDescriptor(0, 0x10000, 1, kDescriptorNext, 0xffff);
  pair.split().MakeAvailable(0);
  EXPECT_EQ(pair.Broken(), "descriptor 65535 of 8");
}

TEST(SplitQueue, AChainThatLoopsBreaksIt) {
  SplitPair pair;
  pair.split().SetDescriptor(3, 0x10000, 1, kDescriptorNext, 4);
  pair.split().SetDescriptor(4, 0x10000, 1, kDescriptorNext, 3);
  pair.split().MakeAvailable(3);
  EXPECT_THAT(pair.Broken(), HasSubstr("loops"));
}

TEST(SplitQueue, AChainAsLongAsTheTableIsAllowed) {
  SplitPair pair;
  for (uint16_t i = 0; i < 8; ++i) {
    pair.split().SetDescriptor(i, 0x10000, 1, i < 7 ? kDescriptorNext : 0, i + 1);
  }
  pair.split().MakeAvailable(0);
  EXPECT_EQ(pair.Pop().readable.size(), 8u);
}

TEST(SplitQueue, TheSameHeadOverAndOverIsBounded) {
  SplitPair pair;
  pair.split().SetDescriptor(0, 0x10000, 1, 0, 0);
  for (int i = 0; i < 8; ++i) {
    pair.split().MakeAvailable(0);
    pair.Pop();
  }
  pair.split().MakeAvailable(0);
  EXPECT_THAT(pair.Broken(), HasSubstr("more than 8 chains at once"));
}

// "The device MUST handle the case of zero or more normal chained descriptors followed by a single descriptor
// with flags&VIRTQ_DESC_F_INDIRECT." (2.7.5.3.2)
TEST(SplitQueue, DirectDescriptorsMayEndInAnIndirectTable) {
  SplitPair pair(kVirtioRingIndirectDesc);
  const uint64_t table = pair.ram.Allocate(16);
  pair.ram.Set<uint64_t>(table, 0x20000);
  pair.ram.Set<uint32_t>(table + 8, 7);
  pair.ram.Set<uint16_t>(table + 12, kDescriptorWrite);
  pair.split().SetDescriptor(0, 0x10000, 5, kDescriptorNext, 1);
  pair.split().SetDescriptor(1, table, 16, kDescriptorIndirect | kDescriptorWrite, 0);
  pair.split().MakeAvailable(0);
  const DescriptorChain chain = pair.Pop();
  EXPECT_EQ(chain.readable_bytes(), 5u);
  EXPECT_EQ(chain.writable_bytes(), 7u);
}

TEST(SplitQueue, ATableInsideATableBreaksIt) {
  SplitPair pair(kVirtioRingIndirectDesc);
  const uint64_t table = pair.ram.Allocate(16);
  pair.ram.Set<uint64_t>(table, table);
  pair.ram.Set<uint32_t>(table + 8, 16);
  pair.ram.Set<uint16_t>(table + 12, kDescriptorIndirect);
  pair.split().AddTable(table, 16);
  EXPECT_EQ(pair.Broken(), "indirect in indirect");
}

TEST(SplitQueue, AnIndirectDescriptorWithANextBreaksIt) {
  SplitPair pair(kVirtioRingIndirectDesc);
  pair.split().SetDescriptor(0, 0x20000, 16, kDescriptorIndirect | kDescriptorNext, 1);
  pair.split().MakeAvailable(0);
  EXPECT_THAT(pair.Broken(), HasSubstr("with a next"));
}

TEST(SplitQueue, AnIndirectChainThatLoopsOrLeavesItsTableBreaksIt) {
  for (const uint16_t next : {0, 1, 2, 0xffff}) {
    SplitPair pair(kVirtioRingIndirectDesc);
    const uint64_t table = pair.ram.Allocate(32);
    for (uint64_t i = 0; i < 2; ++i) {
      pair.ram.Set<uint16_t>(table + 16 * i + 12, kDescriptorNext);
      pair.ram.Set<uint16_t>(table + 16 * i + 14, next);
    }
    pair.split().AddTable(table, 32);
    EXPECT_THAT(pair.Broken(), HasSubstr("indirect"));
  }
}

TEST(SplitQueue, ASizeThatIsNoPowerOfTwoIsRefused) {
  FakeRam ram;
  QueueLayout layout = FakeDriver::Create(&ram, 8, 0)->layout();
  layout.size = 7;
  EXPECT_FALSE(VirtQueue::Create(&ram.memory(), layout, 0, -1, -1));
}

TEST(SplitQueue, TellsWhereItStands) {
  SplitPair pair;
  pair.driver->Add({pair.driver->Writable(1)});
  EXPECT_EQ(pair.queue->available_index(), 0);
  pair.queue->Push(pair.Pop(), 0);
  EXPECT_EQ(pair.queue->available_index(), 1);
}

}  // namespace
}  // namespace berth::hw
