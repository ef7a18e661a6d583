// What both ring formats have in common, each test with every combination of the ring's features.
#include "hw/virtio/queue.h"

#include <poll.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/virtio/ring.h"
#include "tests/hw/virtio/queue_fixture.h"

namespace berth::hw {
namespace {

class QueueTest : public testing::TestWithParam<uint64_t> {};
class InterruptFlagTest : public testing::TestWithParam<uint64_t> {};
class EventIndexTest : public testing::TestWithParam<uint64_t> {};

TEST_P(QueueTest, AnEmptyQueueGivesNothing) {
  QueuePair pair(GetParam());
  EXPECT_TRUE(pair.Empty());
  pair.queue->Notify();
  EXPECT_FALSE(pair.Interrupted());
}

TEST_P(QueueTest, AChainArrivesAsItWasMade) {
  QueuePair pair(GetParam());
  const FakeBuffer in = pair.driver->Readable("request"), out = pair.driver->Writable(100);
  const uint16_t id = pair.driver->Add({in, {out.address, 60, true}, {out.address + 60, 40, true}});
  const DescriptorChain chain = pair.Pop();
  EXPECT_EQ(chain.id, id);
  ASSERT_EQ(chain.readable.size(), 1u);
  EXPECT_EQ(chain.readable[0].address, in.address);
  EXPECT_EQ(chain.readable_bytes(), 7u);
  ASSERT_EQ(chain.writable.size(), 2u);
  EXPECT_EQ(chain.writable[1].address, out.address + 60);
  EXPECT_EQ(chain.writable_bytes(), 100u);
  EXPECT_TRUE(pair.Empty());
}

TEST_P(QueueTest, WhatIsPushedTheDriverGetsOnce) {
  QueuePair pair(GetParam());
  const uint16_t id = pair.driver->Add({pair.driver->Writable(16)});
  pair.queue->Push(pair.Pop(), 5);
  EXPECT_EQ(pair.driver->TakeUsed(), (FakeDriver::Used{id, 5}));
  EXPECT_EQ(pair.driver->TakeUsed(), std::nullopt);
}

TEST_P(QueueTest, ChainsComeBackInAnyOrder) {
  QueuePair pair(GetParam());
  std::vector<uint16_t> ids;
  std::vector<DescriptorChain> chains;
  for (uint32_t i = 0; i < 4; ++i) {
    ids.push_back(pair.driver->Add({pair.driver->Writable(16), pair.driver->Writable(16)}));
    chains.push_back(pair.Pop());
  }
  for (unsigned i : {2u, 0u, 3u, 1u}) pair.queue->Push(chains[i], i);
  for (unsigned i : {2u, 0u, 3u, 1u}) EXPECT_EQ(pair.driver->TakeUsed(), (FakeDriver::Used{ids[i], i}));
  EXPECT_TRUE(pair.Empty());
}

TEST_P(QueueTest, ChainsPushedTogetherArriveInTheirOrder) {
  QueuePair pair(GetParam(), 8);
  for (int round = 0; round < 5; ++round) {  // The ring's end lies within some of them.
    std::vector<uint16_t> ids;
    std::vector<DescriptorChain> chains;
    std::vector<VirtQueue::Used> used;
    for (int i = 0; i < 3; ++i) {
      ids.push_back(pair.driver->Add({pair.driver->Writable(16), pair.driver->Writable(16)}));
      chains.push_back(pair.Pop());
    }
    for (uint32_t i = 0; i < 3; ++i) used.push_back({&chains[i], 100 + i});
    EXPECT_EQ(pair.driver->TakeUsed(), std::nullopt);
    pair.queue->PushAll(used);
    for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(pair.driver->TakeUsed(), (FakeDriver::Used{ids[i], 100 + i}));
    EXPECT_EQ(pair.driver->TakeUsed(), std::nullopt);
  }
}

TEST_P(QueueTest, GoesRoundManyTimesWithChainsOfEveryLength) {
  QueuePair pair(GetParam(), 8);
  const FakeBuffer buffer = pair.driver->Writable(64);
  for (uint32_t round = 0; round < 70'000; ++round) {  // Beyond the 16 bits of an index.
    const std::vector<FakeBuffer> buffers(1 + round % 8, buffer);
    const uint16_t id = pair.driver->Add(buffers);
    const DescriptorChain chain = pair.Pop();
    ASSERT_EQ(chain.writable.size(), buffers.size()) << "round " << round;
    pair.queue->Push(chain, round);
    ASSERT_EQ(pair.driver->TakeUsed(), (FakeDriver::Used{id, round}));
  }
}

TEST_P(QueueTest, KeepsAFullRingInFlight) {
  QueuePair pair(GetParam(), 8);
  const FakeBuffer buffer = pair.driver->Writable(64);
  for (int round = 0; round < 3; ++round) {
    std::vector<DescriptorChain> chains;
    for (int i = 0; i < 8; ++i) pair.driver->Add({buffer});
    for (int i = 0; i < 8; ++i) chains.push_back(pair.Pop());
    EXPECT_TRUE(pair.Empty());
    for (const DescriptorChain& chain : chains) pair.queue->Push(chain, 0);
    for (int i = 0; i < 8; ++i) EXPECT_TRUE(pair.driver->TakeUsed());
  }
}

TEST_P(QueueTest, FollowsAnIndirectTable) {
  QueuePair pair(GetParam() | kVirtioRingIndirectDesc, 8);
  std::vector<FakeBuffer> buffers(20, pair.driver->Readable("12345"));  // More than the ring has entries.
  buffers.push_back(pair.driver->Writable(9));
  const uint16_t id = pair.driver->Add(buffers, true);
  const DescriptorChain chain = pair.Pop();
  EXPECT_EQ(chain.readable.size(), 20u);
  EXPECT_EQ(chain.readable_bytes(), 100u);
  EXPECT_EQ(chain.writable_bytes(), 9u);
  pair.queue->Push(chain, 9);
  EXPECT_EQ(pair.driver->TakeUsed(), (FakeDriver::Used{id, 9}));
  pair.driver->Add({buffers[0]});
  EXPECT_EQ(pair.Pop().readable_bytes(), 5u);
}

TEST_P(QueueTest, AnIndirectTableThatWasNotNegotiatedBreaksIt) {
  QueuePair pair(GetParam());
  pair.driver->Add({pair.driver->Writable(1)}, true);
  EXPECT_THAT(pair.Broken(), testing::HasSubstr("not negotiated"));
}

TEST_P(QueueTest, AnEmptyBufferIsLeftOut) {
  QueuePair pair(GetParam());
  pair.driver->Add({{0x10000, 0, false}, {0xdead0000dead0000, 0, true}, pair.driver->Writable(4)});
  const DescriptorChain chain = pair.Pop();
  EXPECT_TRUE(chain.readable.empty());
  EXPECT_EQ(chain.writable.size(), 1u);
}

TEST_P(QueueTest, AddressesAreNotTheQueuesBusiness) {
  QueuePair pair(GetParam());
  pair.driver->Add({{~uint64_t{0}, 0xffffffff, true}});
  const DescriptorChain chain = pair.Pop();
  std::vector<iovec> pieces;
  EXPECT_FALSE(pair.ram.memory().AppendTo(chain.writable[0], &pieces));
}

// Device-writable elements come after device-readable ones (2.7.4.2).
TEST_P(QueueTest, ReadableAfterWritableBreaksIt) {
  QueuePair pair(GetParam());
  pair.driver->Add({pair.driver->Writable(4), pair.driver->Readable("x")});
  EXPECT_THAT(pair.Broken(), testing::HasSubstr("to read after one to write"));
}

TEST_P(QueueTest, MoreThanFourGigabytesBreaksIt) {
  QueuePair pair(GetParam());
  pair.driver->Add({{0x10000, 0xffffffff, true}, {0x10000, 1, true}, {0x10000, 1, true}});
  EXPECT_THAT(pair.Broken(), testing::HasSubstr("4 GiB"));
}

TEST_P(QueueTest, AnIndirectTableOutsideRamBreaksIt) {
  for (const auto& [address, size] : {std::pair(0x8000'0000ull, 32u),
                                      {0x10000ull + 16 * kMiB - 16, 32u},
                                      {~0ull - 15, 64u},
                                      {0x20000ull, 0u},
                                      {0x20000ull, 24u},
                                      {0x20000ull, 0xfffffff0u}}) {
    QueuePair pair(GetParam() | kVirtioRingIndirectDesc);
    // Split: the last descriptor in RAM goes on to the next.
    pair.ram.Set<uint32_t>(0x10000 + 16 * kMiB - 4, kDescriptorNext | 1 << 16);
    pair.driver->AddTable(address, size);
    EXPECT_NE(pair.Broken(), "") << address << " " << size;
  }
}

TEST_P(InterruptFlagTest, TheDriversFlagStopsInterrupts) {
  QueuePair pair(GetParam());
  pair.driver->DisableInterrupts();
  pair.driver->Add({pair.driver->Writable(1)});
  pair.queue->Push(pair.Pop(), 0);
  pair.queue->Notify();
  EXPECT_FALSE(pair.Interrupted());
  pair.driver->EnableInterrupts();
  pair.driver->Add({pair.driver->Writable(1)});
  pair.queue->Push(pair.Pop(), 0);
  pair.queue->Notify();
  EXPECT_TRUE(pair.Interrupted());
  pair.queue->Notify();
  EXPECT_FALSE(pair.Interrupted()) << "nothing was used since";
}

TEST_P(EventIndexTest, OneInterruptIsAskedForAtATime) {
  QueuePair pair(GetParam());
  for (int round = 0; round < 20; ++round) {
    pair.driver->EnableInterrupts();
    for (int i = 0; i < 3; ++i) pair.driver->Add({pair.driver->Writable(1)});
    pair.queue->Push(pair.Pop(), 0);
    pair.queue->Notify();
    EXPECT_TRUE(pair.Interrupted()) << "round " << round;
    pair.queue->Push(pair.Pop(), 0);
    pair.queue->Notify();
    EXPECT_FALSE(pair.Interrupted()) << "round " << round << ": the driver has not asked for another";
    while (pair.driver->TakeUsed()) {
    }
    pair.driver->EnableInterrupts();
    pair.queue->Push(pair.Pop(), 0);
    pair.queue->Notify();
    EXPECT_TRUE(pair.Interrupted()) << "round " << round;
    EXPECT_TRUE(pair.driver->TakeUsed());
  }
}

TEST_P(QueueTest, KicksAreWantedUntilTheyAreDisabled) {
  QueuePair pair(GetParam());
  for (int round = 0; round < 20; ++round) {
    pair.driver->Add({pair.driver->Writable(1)});
    EXPECT_TRUE(pair.driver->KickWanted()) << "round " << round;
    pair.queue->DisableKicks();
    pair.driver->Add({pair.driver->Writable(1)});
    EXPECT_FALSE(pair.driver->KickWanted()) << "round " << round;
    EXPECT_TRUE(pair.queue->EnableKicks()) << "something was added meanwhile";
    for (int i = 0; i < 2; ++i) pair.queue->Push(pair.Pop(), 0);
    EXPECT_FALSE(pair.queue->EnableKicks());
    while (pair.driver->TakeUsed()) {
    }
  }
}

TEST_P(QueueTest, AQueueWithoutAVectorInterruptsNobody) {
  FakeRam ram;
  const auto driver = FakeDriver::Create(&ram, 8, GetParam());
  const auto queue = *VirtQueue::Create(&ram.memory(), driver->layout(), GetParam(), -1, -1);
  driver->Add({driver->Writable(1)});
  queue->Push(**queue->Pop(), 0);
  queue->Notify();
  EXPECT_TRUE(driver->TakeUsed());
}

TEST_P(QueueTest, ALayoutThatIsNotAllowedIsRefused) {
  FakeRam ram;
  const QueueLayout good = FakeDriver::Create(&ram, 8, GetParam())->layout();
  auto refused = [&](auto change) {
    QueueLayout layout = good;
    change(layout);
    const auto queue = VirtQueue::Create(&ram.memory(), layout, GetParam(), -1, -1);
    return !queue && queue.error().code() == Code::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](QueueLayout& layout) { layout.size = 0; }));
  EXPECT_TRUE(refused([](QueueLayout& layout) { layout.size = kMaxQueueSize * 2; }));
  EXPECT_TRUE(refused([](QueueLayout& layout) { layout.descriptor_area += 8; }));
  EXPECT_TRUE(refused([](QueueLayout& layout) { layout.descriptor_area = 0; }));
  EXPECT_TRUE(refused([](QueueLayout& layout) { layout.driver_area += 1; }));
  EXPECT_TRUE(refused([](QueueLayout& layout) { layout.driver_area = 0x10000 + 16 * kMiB - 2; }));
  EXPECT_TRUE(refused([](QueueLayout& layout) { layout.device_area += 2; }));
  EXPECT_TRUE(refused([](QueueLayout& layout) { layout.device_area = ~uint64_t{3}; }));
}

// A driver and a device on two threads, each asleep until the other signals: a lost wake-up would hang here.
TEST_P(QueueTest, NoWakeUpIsLostBetweenThreads) {
  constexpr uint32_t kChains = 5'000;
  QueuePair pair(GetParam());
  auto wait = [](int fd) {
    pollfd readable{fd, POLLIN, 0};
    const bool signalled = ::poll(&readable, 1, 10'000) == 1;
    DrainEventFd(fd);
    return signalled;
  };
  bool device_starved = false;
  std::thread device([&] {
    for (uint32_t served = 0; served < kChains;) {
      pair.queue->DisableKicks();
      while (auto chain = *pair.queue->Pop()) {
        pair.queue->Push(*chain, served++);
        pair.queue->Notify();
      }
      if (pair.queue->EnableKicks() || served == kChains) continue;
      if (!wait(pair.kick.get())) {
        device_starved = true;
        return;
      }
    }
  });
  const FakeBuffer buffer = pair.driver->Writable(8);
  uint32_t added = 0, used = 0;
  while (used < kChains) {
    for (; added < kChains && added - used < 8; ++added) pair.driver->Add({buffer});
    if (pair.driver->KickWanted()) SignalEventFd(pair.kick.get());
    pair.driver->EnableInterrupts();
    const uint32_t before = used;
    while (pair.driver->TakeUsed()) ++used;
    if (used != before) continue;
    ASSERT_TRUE(wait(pair.call.get())) << "after " << used;
  }
  device.join();
  EXPECT_FALSE(device_starved);
}

std::string Name(const testing::TestParamInfo<uint64_t>& info) {
  return std::string(info.param & kVirtioRingPacked ? "Packed" : "Split") +
         (info.param & kVirtioRingEventIdx ? "EventIndex" : "");
}

INSTANTIATE_TEST_SUITE_P(Rings, QueueTest,
                         testing::Values(0, kVirtioRingEventIdx, kVirtioRingPacked,
                                         kVirtioRingPacked | kVirtioRingEventIdx),
                         Name);
INSTANTIATE_TEST_SUITE_P(Rings, InterruptFlagTest, testing::Values(0, kVirtioRingPacked), Name);
INSTANTIATE_TEST_SUITE_P(Rings, EventIndexTest,
                         testing::Values(kVirtioRingEventIdx, kVirtioRingPacked | kVirtioRingEventIdx), Name);

}  // namespace
}  // namespace berth::hw
