#include "hw/virtio/block.h"

#include <cerrno>
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/virtio/block_config.h"
#include "tests/fakes/fake_block_node.h"
#include "tests/fakes/fake_virtio.h"

namespace berth::hw {
namespace {

using block::FakeBlockNode;
using block::Op;
using testing::ElementsAre;
using testing::SizeIs;

constexpr uint32_t kIn = 0, kOut = 1, kFlushType = 4, kGetId = 8, kDiscardType = 11, kZeroesType = 13;
constexpr uint8_t kOk = 0, kIoError = 1, kUnsupported = 2, kUntouched = 0xee;
constexpr uint64_t kAll = kBlockReadOnly | kBlockSegMax | kBlockBlockSize | kBlockFlush | kBlockConfigWce |
                          kBlockDiscard | kBlockWriteZeroes | kBlockMultiQueue;

// A disk of 1 MiB behind virtio-blk, and its driver.
struct VirtioBlockTest : testing::Test {
  void Start(const VirtioBlockOptions& options = {}, uint64_t features = kAll) {
    auto created = CreateVirtioBlock(options, node);
    ASSERT_TRUE(created);
    device = std::move(*created);
    virtio = std::make_unique<FakeVirtio>(device.get());
    ASSERT_TRUE(virtio->Activate(features & device->features()));
  }
  void TearDown() override {
    if (virtio == nullptr) return;
    EXPECT_THAT(virtio->transport().needs_reset, SizeIs(expected_resets));
    virtio.reset();
  }

  FakeBuffer Header(uint32_t type, uint64_t sector) {
    std::string bytes(16, '\0');
    StoreLe<uint32_t>(bytes.data(), type);
    StoreLe<uint64_t>(bytes.data() + 8, sector);
    return virtio->driver(0).Readable(bytes);
  }
  FakeBuffer Status() {
    FakeBuffer status = virtio->driver(0).Writable(1);
    virtio->ram().Set<uint8_t>(status.address, kUntouched);
    return status;
  }
  uint8_t At(const FakeBuffer& buffer) { return virtio->ram().Get<uint8_t>(buffer.address); }
  // Adds one chain, kicks, and returns what was used.
  FakeDriver::Used Do(std::initializer_list<FakeBuffer> chain) {
    virtio->driver(0).Add(chain);
    virtio->Kick(0);
    const auto used = virtio->driver(0).TakeUsed();
    EXPECT_TRUE(used) << "the request was not answered";
    return used.value_or(FakeDriver::Used{});
  }
  // One request without data to read, and its status.
  uint8_t Ask(uint32_t type, uint64_t sector, std::string_view data) {
    const FakeBuffer status = Status();
    if (data.empty()) {
      Do({Header(type, sector), status});
    } else {
      Do({Header(type, sector), virtio->driver(0).Readable(data), status});
    }
    return At(status);
  }

  static std::string Segment(uint64_t sector, uint32_t sectors, uint32_t flags) {
    std::string bytes(16, '\0');
    StoreLe(bytes.data(), sector);
    StoreLe(bytes.data() + 8, sectors);
    StoreLe(bytes.data() + 12, flags);
    return bytes;
  }

  std::shared_ptr<FakeBlockNode> node = std::make_shared<FakeBlockNode>(1 << 20);
  std::unique_ptr<VirtioBlock> device;
  std::unique_ptr<FakeVirtio> virtio;
  size_t expected_resets = 0;
};

TEST_F(VirtioBlockTest, Reads) {
  Start();
  std::copy_n("sector seven", 12, node->content.begin() + 7 * 512);
  const FakeBuffer data = virtio->driver(0).Writable(1024), status = Status();
  const auto used = Do({Header(kIn, 7), data, status});
  EXPECT_EQ(At(status), kOk);
  EXPECT_EQ(used.written, 1025u);
  EXPECT_EQ(virtio->ram().Text(data.address, 12), "sector seven");
  EXPECT_THAT(node->log, ElementsAre(FakeBlockNode::Seen{Op::kRead, false, false, 7 * 512, 1024}));
  EXPECT_EQ(virtio->TakeInterrupts(0), 1u);
}

TEST_F(VirtioBlockTest, Writes) {
  Start();
  EXPECT_EQ(Ask(kOut, 2047, std::string(512, 'w')), kOk);
  EXPECT_EQ(node->content[2047 * 512], 'w');
  EXPECT_EQ(node->content.back(), 'w');
}

// 2.7.4.2: "The device MUST NOT make assumptions about the particular arrangement of descriptors."
TEST_F(VirtioBlockTest, HowARequestIsDividedMeansNothing) {
  Start();
  const FakeBuffer header = Header(kOut, 0);
  const FakeBuffer first{header.address, 5, false}, second{header.address + 5, 11, false};
  const FakeBuffer status = Status();
  Do({first, second, virtio->driver(0).Readable(std::string(100, 'a')),
      virtio->driver(0).Readable(std::string(412, 'b')), status});
  EXPECT_EQ(At(status), kOk);
  EXPECT_EQ(node->content[99], 'a');
  EXPECT_EQ(node->content[100], 'b');
  EXPECT_EQ(node->content[511], 'b');

  // Header and data in one buffer.
  std::string joined(16 + 512, 'c');
  StoreLe<uint32_t>(joined.data(), kOut);
  StoreLe<uint32_t>(joined.data() + 4, 0);
  StoreLe<uint64_t>(joined.data() + 8, 1);
  const FakeBuffer status2 = Status();
  Do({virtio->driver(0).Readable(joined), status2});
  EXPECT_EQ(At(status2), kOk);
  EXPECT_EQ(node->content[512], 'c');
}

TEST_F(VirtioBlockTest, TheStatusIsTheLastWritableByteAlsoBehindData) {
  Start();
  node->content[0] = 'd';
  const FakeBuffer data_and_status = virtio->driver(0).Writable(513);
  virtio->ram().Set<uint8_t>(data_and_status.address + 512, kUntouched);
  EXPECT_EQ(Do({Header(kIn, 0), data_and_status}).written, 513u);
  EXPECT_EQ(virtio->ram().Get<uint8_t>(data_and_status.address), 'd');
  EXPECT_EQ(virtio->ram().Get<uint8_t>(data_and_status.address + 512), kOk);
}

TEST_F(VirtioBlockTest, WhatIsOutsideOfTheDiskFails) {
  Start();
  const std::string sector(512, 'x');
  for (uint64_t at : {uint64_t{2048}, ~uint64_t{0}, uint64_t{1} << 55})
    EXPECT_EQ(Ask(kOut, at, sector), kIoError);
  EXPECT_EQ(Ask(kOut, 2047, std::string(1024, 'x')), kIoError);
  EXPECT_EQ(Ask(kOut, 0, std::string(511, 'x')), kIoError);
  const FakeBuffer status = Status();
  EXPECT_EQ(Do({Header(kIn, 2048), virtio->driver(0).Writable(512), status}).written, 0u);
  EXPECT_EQ(At(status), kIoError);
  EXPECT_TRUE(node->log.empty());
}

TEST_F(VirtioBlockTest, DataOutsideOfRamFails) {
  Start();
  const FakeBuffer status = Status();
  Do({Header(kIn, 0), {0xdead0000'0000, 512, true}, status});
  EXPECT_EQ(At(status), kIoError);
  EXPECT_TRUE(node->log.empty());
}

TEST_F(VirtioBlockTest, AShortHeaderFails) {
  Start();
  const FakeBuffer status = Status();
  Do({virtio->driver(0).Readable("too short"), status});
  EXPECT_EQ(At(status), kIoError);
  const FakeBuffer alone = Status();
  Do({alone});
  EXPECT_EQ(At(alone), kIoError);
}

TEST_F(VirtioBlockTest, WithoutAByteForTheStatusTheDeviceNeedsAReset) {
  expected_resets = 1;
  Start();
  virtio->driver(0).Add({Header(kFlushType, 0)});
  const FakeBuffer status = Status();
  virtio->driver(0).Add({Header(kFlushType, 0), status});
  virtio->Kick(0);
  virtio->ForceKick(0);
  EXPECT_FALSE(virtio->driver(0).TakeUsed());
  EXPECT_EQ(At(status), kUntouched);
}

TEST_F(VirtioBlockTest, UnknownRequestsAreUnsupported) {
  Start();
  for (uint32_t type : {2u, 3u, 7u, 10u, 14u, 0xffffffffu}) EXPECT_EQ(Ask(type, 0, ""), kUnsupported);
}

TEST_F(VirtioBlockTest, WhatWasNotNegotiatedIsUnsupported) {
  Start({}, kBlockSegMax);
  EXPECT_EQ(Ask(kFlushType, 0, ""), kUnsupported);
  EXPECT_EQ(Ask(kDiscardType, 0, Segment(0, 8, 0)), kUnsupported);
  EXPECT_EQ(Ask(kZeroesType, 0, Segment(0, 8, 0)), kUnsupported);
}

TEST_F(VirtioBlockTest, GetIdIsTheSerialPaddedWithZeroes) {
  Start({.serial = "disk-1"});
  const FakeBuffer id = virtio->driver(0).Writable(20), status = Status();
  virtio->ram().Set<uint8_t>(id.address + 10, 'x');
  EXPECT_EQ(Do({Header(kGetId, 0), id, status}).written, 21u);
  EXPECT_EQ(At(status), kOk);
  EXPECT_EQ(virtio->ram().Text(id.address, 20), std::string("disk-1") + std::string(14, '\0'));
}

TEST_F(VirtioBlockTest, ErrorsOfTheDiskAreIoErrors) {
  Start();
  node->errors = {EIO, ENOSPC};
  EXPECT_EQ(Ask(kFlushType, 0, ""), kIoError);
  EXPECT_EQ(Ask(kOut, 0, std::string(512, 'x')), kIoError);
  EXPECT_EQ(Ask(kOut, 0, std::string(512, 'x')), kOk);
}

TEST_F(VirtioBlockTest, AReadOnlyDiskRefusesToWrite) {
  Start({.read_only = true});
  EXPECT_TRUE(device->features() & kBlockReadOnly);
  EXPECT_EQ(Ask(kOut, 0, std::string(512, 'x')), kIoError);
}

TEST_F(VirtioBlockTest, DiscardsEverySegment) {
  Start();
  EXPECT_EQ(Ask(kDiscardType, 0, Segment(8, 16, 0) + Segment(100, 1, 0)), kOk);
  EXPECT_THAT(node->log, ElementsAre(FakeBlockNode::Seen{Op::kDiscard, false, false, 4096, 8192},
                                     FakeBlockNode::Seen{Op::kDiscard, false, false, 51200, 512}));
}

TEST_F(VirtioBlockTest, WritesZeroesWithAndWithoutUnmap) {
  Start();
  EXPECT_EQ(Ask(kZeroesType, 0, Segment(0, 1, 0)), kOk);
  EXPECT_EQ(Ask(kZeroesType, 0, Segment(1, 1, 1)), kOk);
  EXPECT_THAT(node->log, ElementsAre(FakeBlockNode::Seen{Op::kWriteZeroes, false, false, 0, 512},
                                     FakeBlockNode::Seen{Op::kWriteZeroes, false, true, 512, 512}));
}

TEST_F(VirtioBlockTest, SegmentsThatLieAreRefusedBeforeAnythingIsDone) {
  Start();
  // 5.2.6.2: unknown flags, and unmap in a discard, are unsupported.
  EXPECT_EQ(Ask(kDiscardType, 0, Segment(0, 8, 1)), kUnsupported);
  EXPECT_EQ(Ask(kZeroesType, 0, Segment(0, 8, 2)), kUnsupported);
  EXPECT_EQ(Ask(kDiscardType, 0, Segment(0, 8, 0) + Segment(2048, 1, 0)), kIoError);
  EXPECT_EQ(Ask(kDiscardType, 0, Segment(~0ull, 2, 0)), kIoError);
  EXPECT_EQ(Ask(kDiscardType, 0, Segment(0, kMaxRangeSectors + 1, 0)), kIoError);
  EXPECT_EQ(Ask(kDiscardType, 0, std::string(15, '\0')), kIoError);
  EXPECT_EQ(Ask(kDiscardType, 0, ""), kIoError);
  std::string many;
  for (uint32_t i = 0; i <= kMaxRangeSegments; ++i) many += Segment(i, 1, 0);
  EXPECT_EQ(Ask(kDiscardType, 0, many), kIoError);
  EXPECT_TRUE(node->log.empty());
}

TEST_F(VirtioBlockTest, ASegmentThatFailsEndsTheRequest) {
  Start();
  node->errors = {0, EIO};
  EXPECT_EQ(Ask(kDiscardType, 0, Segment(0, 1, 0) + Segment(1, 1, 0) + Segment(2, 1, 0)), kIoError);
  EXPECT_EQ(node->log.size(), 2u);
}

TEST_F(VirtioBlockTest, WriteThroughMakesEveryWriteDurable) {
  Start({.write_through = true});
  uint8_t writeback = 0xff;
  device->ReadConfig(offsetof(BlockConfig, writeback), {&writeback, 1});
  EXPECT_EQ(writeback, 0);
  EXPECT_EQ(Ask(kOut, 0, std::string(512, 'x')), kOk);
  EXPECT_TRUE(node->log.back().fua);
  // The driver may choose otherwise (CONFIG_WCE), until the next reset.
  writeback = 1;
  device->WriteConfig(offsetof(BlockConfig, writeback), {&writeback, 1});
  EXPECT_EQ(Ask(kOut, 0, std::string(512, 'x')), kOk);
  EXPECT_FALSE(node->log.back().fua);
  virtio->Reset();
  device->ReadConfig(offsetof(BlockConfig, writeback), {&writeback, 1});
  EXPECT_EQ(writeback, 0);
}

TEST_F(VirtioBlockTest, ADriverThatCannotFlushGetsDurableWrites) {
  Start({}, kBlockSegMax);
  EXPECT_EQ(Ask(kOut, 0, std::string(512, 'x')), kOk);
  EXPECT_TRUE(node->log.back().fua);
}

TEST_F(VirtioBlockTest, ManyRequestsAreOneSubmissionAndOneInterrupt) {
  Start();
  for (int i = 0; i < 10; ++i) {
    virtio->driver(0).Add({Header(kIn, static_cast<uint64_t>(i)), virtio->driver(0).Writable(512), Status()});
  }
  virtio->Kick(0);
  EXPECT_THAT(node->batches, ElementsAre(10));
  EXPECT_EQ(virtio->TakeInterrupts(0), 1u);
}

TEST_F(VirtioBlockTest, CompletionsOutOfOrderGoToTheirRequests) {
  Start();
  node->hold = true;
  node->errors = {EIO};
  const FakeBuffer first = Status(), second = Status();
  const uint16_t first_id = virtio->driver(0).Add({Header(kFlushType, 0), first});
  const uint16_t second_id = virtio->driver(0).Add({Header(kFlushType, 0), second});
  virtio->Kick(0);
  EXPECT_FALSE(virtio->driver(0).TakeUsed());
  virtio->loop().Post([&] { node->Release(1); });  // Fails.
  virtio->Turn();
  EXPECT_EQ(virtio->driver(0).TakeUsed()->id, second_id);
  EXPECT_EQ(At(first), kUntouched);
  EXPECT_EQ(At(second), kIoError);
  EXPECT_EQ(virtio->TakeInterrupts(0), 1u);
  virtio->loop().Post([&] { node->Release(0); });
  virtio->Turn();
  EXPECT_EQ(virtio->driver(0).TakeUsed()->id, first_id);
  EXPECT_EQ(At(first), kOk);
}

TEST_F(VirtioBlockTest, ResetWaitsForRequestsInFlight) {
  Start();
  node->hold = true;
  const FakeBuffer status = Status();
  virtio->driver(0).Add({Header(kFlushType, 0), status});
  virtio->Kick(0);
  EXPECT_EQ(node->held.size(), 1u);
  virtio->Reset();
  EXPECT_TRUE(node->held.empty());
  // And the device works again.
  node->hold = false;
  ASSERT_TRUE(virtio->Activate(kAll & device->features()));
  EXPECT_EQ(Ask(kFlushType, 0, ""), kOk);
}

TEST_F(VirtioBlockTest, EveryQueueIsServed) {
  Start({.queues = 3});
  for (unsigned queue = 0; queue < 3; ++queue) {
    const FakeBuffer status = Status();
    virtio->driver(queue).Add({Header(kFlushType, 0), status});
    virtio->Kick(queue);
    EXPECT_TRUE(virtio->driver(queue).TakeUsed());
    EXPECT_EQ(virtio->TakeInterrupts(queue), 1u);
    EXPECT_EQ(At(status), kOk);
  }
}

TEST_F(VirtioBlockTest, CountsWhatItDid) {
  Start();
  Ask(kOut, 0, std::string(512, 'x'));
  Ask(kFlushType, 0, "");
  Ask(99, 0, "");
  std::map<std::string, uint64_t> values;
  for (const NamedCounter& named : device->counters()) values[named.name] = named.counter->value();
  EXPECT_EQ(values["writes"], 1u);
  EXPECT_EQ(values["written_bytes"], 512u);
  EXPECT_EQ(values["flushes"], 1u);
  EXPECT_EQ(values["errors"], 1u);
}

// 5.2.5.2: "If capacity changes, the device SHOULD … send a configuration change notification".
TEST_F(VirtioBlockTest, ADiskThatGrowsTellsTheDriver) {
  Start();
  EXPECT_EQ(Ask(kOut, 2048, std::string(512, 'x')), kIoError);

  ASSERT_TRUE(device->Grow(2 << 20));

  std::vector<uint8_t> capacity(8);
  device->ReadConfig(0, capacity);
  EXPECT_EQ(LoadLe<uint64_t>(capacity.data()), 4096u);
  EXPECT_EQ(virtio->transport().config_changes, 1);
  EXPECT_EQ(Ask(kOut, 4095, std::string(512, 'x')), kOk);
  ASSERT_TRUE(device->Grow(1 << 20));
  EXPECT_EQ(virtio->transport().config_changes, 1) << "it is larger already";
}

TEST_F(VirtioBlockTest, ConfigurationBeyondItsEndReadsAsZeroes) {
  Start();
  std::vector<uint8_t> bytes(8, 0xff);
  device->ReadConfig(sizeof(BlockConfig) - 3, bytes);
  EXPECT_EQ(bytes, std::vector<uint8_t>(8, 0));
  device->ReadConfig(0xfffffff8, bytes);
  EXPECT_EQ(bytes, std::vector<uint8_t>(8, 0));
  device->ReadConfig(0, bytes);
  EXPECT_EQ(LoadLe<uint64_t>(bytes.data()), 2048u);
}

}  // namespace
}  // namespace berth::hw
