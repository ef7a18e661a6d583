// Disks behind virtio-scsi.
#include "hw/virtio/scsi.h"

#include <cerrno>
#include <map>

#include "tests/hw/virtio/scsi_fixture.h"

namespace berth::hw {
namespace {

using block::Op;
using testing::ElementsAre;
using testing::SizeIs;
using Seen = block::FakeBlockNode::Seen;

constexpr uint8_t kGood = 0, kCheckCondition = 2;
constexpr uint8_t kOk = 0, kOverrun = 1, kBadTarget = 3, kFailure = 9;

std::string UnmapList(std::initializer_list<std::pair<uint64_t, uint32_t>> ranges) {
  std::string list(8, '\0');
  StoreBe(list.data(), static_cast<uint16_t>(6 + 16 * ranges.size()));
  StoreBe(list.data() + 2, static_cast<uint16_t>(16 * ranges.size()));
  for (const auto& [block, count] : ranges) {
    std::string descriptor(16, '\0');
    StoreBe(descriptor.data(), block);
    StoreBe(descriptor.data() + 8, count);
    list += descriptor;
  }
  return list;
}

TEST_F(VirtioScsiTest, Reads) {
  const auto node = Add({});
  StartQuietly();
  std::copy_n("sector seven", 12, node->content.begin() + 7 * 512);
  const Answer read = Do(0, {0x28, 0, 0, 0, 0, 7, 0, 0, 2}, "", 1500);
  EXPECT_EQ(read.response, kOk);
  EXPECT_EQ(read.status, kGood);
  EXPECT_THAT(read.data, SizeIs(1024));
  EXPECT_EQ(read.data.substr(0, 12), "sector seven");
  EXPECT_EQ(read.resid, 476u);
  EXPECT_THAT(node->log, ElementsAre(Seen{Op::kRead, false, false, 7 * 512, 1024}));
}

TEST_F(VirtioScsiTest, WritesOfEveryLength) {
  const auto node = Add({});
  StartQuietly();
  const std::string sector(512, 'w');
  EXPECT_EQ(Do(0, {0x0a, 0, 0, 1, 1}, sector).status, kGood);
  EXPECT_EQ(Do(0, {0x2a, 0x08, 0, 0, 0, 2, 0, 0, 1}, sector).status, kGood);
  EXPECT_EQ(Do(0, {0xaa, 0, 0, 0, 0, 3, 0, 0, 0, 1}, sector).status, kGood);
  EXPECT_EQ(Do(0, {0x8a, 0, 0, 0, 0, 0, 0, 0, 0x07, 0xff, 0, 0, 0, 1}, sector).status, kGood);
  EXPECT_THAT(node->log,
              ElementsAre(Seen{Op::kWrite, false, false, 512, 512}, Seen{Op::kWrite, true, false, 1024, 512},
                          Seen{Op::kWrite, false, false, 1536, 512},
                          Seen{Op::kWrite, false, false, 2047 * 512, 512}));
  EXPECT_EQ(node->content.back(), 'w');
}

TEST_F(VirtioScsiTest, WriteThroughMakesEveryWriteDurable) {
  const auto node = Add({.write_through = true});
  StartQuietly();
  EXPECT_EQ(Do(0, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, std::string(512, 'w')).status, kGood);
  EXPECT_TRUE(node->log.back().fua);
  EXPECT_EQ(Do(0, {0x1a, 0, 0x08, 0, 255}, "", 255).At(12 + 2) & 4, 0) << "there is no write cache";
}

TEST_F(VirtioScsiTest, WhatIsOutsideOfTheDiskIsRefused) {
  const auto node = Add({});
  StartQuietly();
  const std::string sectors(1024, 'x');
  EXPECT_EQ(Do(0, {0x2a, 0, 0, 0, 0x08, 0, 0, 0, 1}, sectors).sense, sense::kBlockOutOfRange);
  EXPECT_EQ(Do(0, {0x2a, 0, 0, 0, 0x07, 0xff, 0, 0, 2}, sectors).sense, sense::kBlockOutOfRange);
  EXPECT_EQ(Do(0, {0x8a, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2}, sectors).sense,
            sense::kBlockOutOfRange);
  EXPECT_EQ(Do(0, {0x2f, 0, 0, 0, 0x07, 0xff, 0, 0, 2}).sense, sense::kBlockOutOfRange);
  EXPECT_EQ(Do(0, {0x2f, 0, 0, 0, 0x07, 0xff, 0, 0, 1}).status, kGood);
  EXPECT_TRUE(node->log.empty());
}

// 5.6.6.1: OVERRUN "if the content of the CDB … requires more data than is available".
TEST_F(VirtioScsiTest, DataThatIsNotThereIsAnOverrun) {
  const auto node = Add({});
  StartQuietly();
  EXPECT_EQ(Do(0, {0x2a, 0, 0, 0, 0, 0, 0, 0, 2}, std::string(1023, 'x')).response, kOverrun);
  EXPECT_EQ(Do(0, {0x28, 0, 0, 0, 0, 0, 0, 0, 2}, "", 1023).response, kOverrun);
  EXPECT_EQ(Do(0, {0x12, 0, 0, 0, 36}, "", 35).response, kOverrun);
  EXPECT_EQ(Do(0, {0x12, 0, 0, 0, 20}, "", 20).data.size(), 20u) << "a small allocation length is none";
  EXPECT_TRUE(node->log.empty());
}

TEST_F(VirtioScsiTest, RequestsThatLackPartsFail) {
  Add({});
  StartQuietly();
  const FakeBuffer response = virtio->driver(kRequests).Writable(kResponseBytes);
  virtio->driver(kRequests).Add({virtio->driver(kRequests).Readable("too short"), response});
  virtio->Kick(kRequests);
  EXPECT_TRUE(virtio->driver(kRequests).TakeUsed());
  EXPECT_EQ(*virtio->ram().At(response.address + 11), kFailure);

  expected_resets = 1;
  virtio->driver(kRequests).Add({virtio->driver(kRequests).Readable(std::string(kRequestBytes, '\1')),
                                 virtio->driver(kRequests).Writable(kResponseBytes - 1)});
  virtio->ForceKick(kRequests);
  EXPECT_FALSE(virtio->driver(kRequests).TakeUsed());
}

TEST_F(VirtioScsiTest, ADriverMayChooseItsSizes) {
  Add({});
  Start();
  virtio->Reset();
  const auto set = [&](uint32_t offset, uint32_t value) {
    uint8_t bytes[4];
    StoreLe(bytes, value);
    device->WriteConfig(offset, bytes);
    device->ReadConfig(offset, bytes);
    return LoadLe<uint32_t>(bytes);
  };
  EXPECT_EQ(set(20, 257), 96u) << "more than anybody needs";
  EXPECT_EQ(set(20, 4), 4u);
  EXPECT_EQ(set(24, 12), 12u);
  ASSERT_TRUE(virtio->Activate());
  FakeDriver& driver = virtio->driver(kRequests);
  const FakeBuffer response = driver.Writable(16);
  driver.Add({driver.Readable(Lun(0) + std::string(11 + 12, '\0')), response});
  virtio->Kick(kRequests);
  EXPECT_EQ(driver.TakeUsed()->written, 16u);
  EXPECT_EQ(*virtio->ram().At(response.address), 4) << "of the sense data";
  EXPECT_EQ(*virtio->ram().At(response.address + 14), kUnitAttention);
  virtio->Reset();
  uint8_t bytes[4];
  device->ReadConfig(20, bytes);
  EXPECT_EQ(LoadLe<uint32_t>(bytes), 96u);
}

// SAM-5, 5.14: INQUIRY and REPORT LUNS are carried out, REQUEST SENSE tells it, others are refused once.
TEST_F(VirtioScsiTest, AUnitTellsThatItWasStarted) {
  Add({});
  Add({});
  Start();
  EXPECT_EQ(Do(0, {0x12, 0, 0, 0, 36}, "", 36).status, kGood);
  EXPECT_EQ(Do(0, {0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, "", 256).status, kGood);
  EXPECT_EQ(Do(0, {0x00}).sense, sense::kPowerOn);
  EXPECT_EQ(Do(0, {0x00}).status, kGood);
  const Answer told = Do(1, {0x03, 0, 0, 0, 252}, "", 252);
  EXPECT_EQ(told.status, kGood);
  EXPECT_EQ(told.At(2), kUnitAttention);
  EXPECT_EQ(told.At(12), 0x29);
  EXPECT_EQ(Do(1, {0x03, 0, 0, 0, 252}, "", 252).At(2), 0);
}

TEST_F(VirtioScsiTest, UnitsAreListedAndOthersAreNotThere) {
  Add({});
  Add({});
  StartQuietly();
  const Answer luns = Do(7, {0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, "", 256);
  EXPECT_EQ(luns.data, std::string("\0\0\0\x10\0\0\0\0"
                                   "\0\0\0\0\0\0\0\0"
                                   "\0\1\0\0\0\0\0\0",
                                   24));
  EXPECT_EQ(Do(2, {0x12, 0, 0, 0, 36}, "", 36).At(0), 0x7f);
  EXPECT_EQ(Do(2, {0x00}).sense, sense::kNoSuchUnit);
  EXPECT_EQ(Do(2, {0x28, 0, 0, 0, 0, 0, 0, 0, 1}, "", 512).sense, sense::kNoSuchUnit);
  EXPECT_EQ(DoAt(std::string("\1\1\x40\0\0\0\0\0", 8), {0x00}).response, kBadTarget);
  EXPECT_EQ(DoAt(std::string(8, '\0'), {0x00}).response, kBadTarget);
  const std::string report_luns("\xc1\1\0\0\0\0\0\0", 8);
  EXPECT_EQ(DoAt(report_luns, {0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, "", 256).data, luns.data);
  EXPECT_EQ(DoAt(report_luns, {0x12, 0, 0, 0, 36}, "", 36).At(0), 0x1e);
  EXPECT_EQ(DoAt(report_luns, {0x00}).sense, sense::kInvalidOperationCode);
}

TEST_F(VirtioScsiTest, InquirySaysWhatItIs) {
  Add({.name = "data", .serial = "S-1"});
  Add({.name = "other"});
  StartQuietly();
  const Answer standard = Do(0, {0x12, 0, 0, 1, 0}, "", 256);
  EXPECT_EQ(standard.At(0), 0);
  EXPECT_EQ(standard.data.substr(8, 24), "BERTH   Virtual disk    ");
  EXPECT_EQ(Do(0, {0x12, 1, 0x00, 1, 0}, "", 256).data.substr(4), std::string("\0\x80\x83\xb0\xb1\xb2", 6));
  EXPECT_EQ(Do(1, {0x12, 1, 0x00, 1, 0}, "", 256).data.substr(4), std::string("\0\x83\xb0\xb1\xb2", 5));
  EXPECT_EQ(Do(0, {0x12, 1, 0x80, 1, 0}, "", 256).data.substr(4), "S-1");
  EXPECT_EQ(Do(0, {0x12, 1, 0x83, 1, 0}, "", 256).data.substr(8), "BERTH   S-1");
  EXPECT_EQ(Do(1, {0x12, 1, 0x83, 1, 0}, "", 256).data.substr(8), "BERTH   other");
  EXPECT_EQ(Do(1, {0x12, 1, 0x80, 1, 0}, "", 256).sense, sense::kInvalidFieldInCdb);
  EXPECT_EQ(Do(0, {0x12, 0, 0x80, 1, 0}, "", 256).sense, sense::kInvalidFieldInCdb);
  EXPECT_EQ(Do(0, {0x12, 1, 0xb1, 1, 0}, "", 256).Number(4, 2), 1u) << "it does not rotate";
}

TEST_F(VirtioScsiTest, LimitsOfDiscardAreTold) {
  const auto node = Add({.logical_block_size_bytes = 4096});
  node->node_limits.discard_granularity_bytes = 65536;
  Add({.discard = false});
  StartQuietly();
  const Answer limits = Do(0, {0x12, 1, 0xb0, 1, 0}, "", 256);
  ASSERT_THAT(limits.data, SizeIs(64));
  EXPECT_EQ(limits.Number(20, 4), 524288u) << "2 GiB";
  EXPECT_EQ(limits.Number(24, 4), 256u);
  EXPECT_EQ(limits.Number(28, 4), 16u);
  EXPECT_EQ(limits.Number(36, 8), 524288u);
  EXPECT_EQ(Do(0, {0x12, 1, 0xb2, 1, 0}, "", 256).Number(5, 2), 0xe002u);
  EXPECT_EQ(Do(0, {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}, "", 32).At(14), 0x80);
  EXPECT_EQ(Do(1, {0x12, 1, 0xb0, 1, 0}, "", 256).Number(20, 4), 0u);
  EXPECT_EQ(Do(1, {0x12, 1, 0xb2, 1, 0}, "", 256).Number(5, 2), 0u);
  EXPECT_EQ(Do(1, {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}, "", 32).At(14), 0);
}

TEST_F(VirtioScsiTest, CapacityIsTold) {
  Add({.logical_block_size_bytes = 512, .physical_block_size_bytes = 4096}, uint64_t{1} << 20);
  StartQuietly();
  const Answer ten = Do(0, {0x25}, "", 8);
  EXPECT_EQ(ten.Number(0, 4), 2047u);
  EXPECT_EQ(ten.Number(4, 4), 512u);
  const Answer sixteen = Do(0, {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}, "", 32);
  EXPECT_EQ(sixteen.Number(0, 8), 2047u);
  EXPECT_EQ(sixteen.Number(8, 4), 512u);
  EXPECT_EQ(sixteen.At(13), 3);
}

TEST_F(VirtioScsiTest, ModesAreTold) {
  Add({});
  Add({.read_only = true});
  StartQuietly();
  const Answer all = Do(0, {0x1a, 0x08, 0x3f, 0, 255}, "", 255);
  EXPECT_EQ(all.At(0) + 1u, all.data.size());
  EXPECT_EQ(all.At(2), 0x10) << "it can be written to";
  EXPECT_EQ(all.At(4), 0x08) << "the caching page,";
  EXPECT_EQ(all.At(4 + 2), 0x04) << "of a write cache";
  EXPECT_EQ(all.At(4 + 20), 0x0a) << "the control page";
  const Answer ten = Do(1, {0x5a, 0, 0x08, 0, 0, 0, 0, 1, 0}, "", 256);
  EXPECT_EQ(ten.Number(0, 2) + 2, ten.data.size());
  EXPECT_EQ(ten.At(3), 0x90) << "write protected";
  EXPECT_EQ(ten.Number(8, 4), 2048u) << "blocks in the descriptor";
  EXPECT_EQ(Do(0, {0x1a, 0x08, 0x48, 0, 255}, "", 255).At(4 + 2), 0) << "nothing is changeable";
  EXPECT_EQ(Do(0, {0x1a, 0, 0xc8, 0, 255}, "", 255).sense, sense::kNoSavedPages);
  EXPECT_EQ(Do(0, {0x1a, 0, 0x1c, 0, 255}, "", 255).sense, sense::kInvalidFieldInCdb);
}

TEST_F(VirtioScsiTest, ReservationsAreRefusedClearly) {
  const auto node = Add({});
  StartQuietly();
  for (uint8_t code : {0x16, 0x17, 0x56, 0x57, 0x5e, 0x5f})
    EXPECT_EQ(Do(0, {code}, "", 256).sense, sense::kInvalidOperationCode) << int{code};
  EXPECT_EQ(Do(0, {0x00}).status, kGood);
}

TEST_F(VirtioScsiTest, AReadOnlyDiskRefusesToWrite) {
  const auto node = Add({.read_only = true});
  StartQuietly();
  EXPECT_EQ(Do(0, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, std::string(512, 'x')).sense, sense::kWriteProtected);
  EXPECT_EQ(Do(0, {0x93, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}).sense, sense::kWriteProtected);
  EXPECT_EQ(Do(0, {0x42, 0, 0, 0, 0, 0, 0, 0, 24}, UnmapList({{0, 1}})).sense, sense::kInvalidOperationCode);
  EXPECT_EQ(Do(0, {0x35}).status, kGood);
  EXPECT_TRUE(node->log.empty());
}

TEST_F(VirtioScsiTest, Flushes) {
  const auto node = Add({});
  StartQuietly();
  EXPECT_EQ(Do(0, {0x35}).status, kGood);
  EXPECT_EQ(Do(0, {0x91}).status, kGood);
  EXPECT_THAT(node->log,
              ElementsAre(Seen{Op::kFlush, false, false, 0, 0}, Seen{Op::kFlush, false, false, 0, 0}));
}

TEST_F(VirtioScsiTest, UnmapsEveryRange) {
  const auto node = Add({});
  StartQuietly();
  EXPECT_EQ(Do(0, {0x42, 0, 0, 0, 0, 0, 0, 0, 56}, UnmapList({{8, 16}, {0, 0}, {100, 1}})).status, kGood);
  EXPECT_THAT(node->log, ElementsAre(Seen{Op::kDiscard, false, false, 4096, 8192},
                                     Seen{Op::kDiscard, false, false, 51200, 512}));
  EXPECT_EQ(Do(0, {0x42}).status, kGood) << "of nothing";
}

TEST_F(VirtioScsiTest, UnmapListsThatLieAreRefusedBeforeAnythingIsDone) {
  const auto node = Add({});
  StartQuietly();
  const auto unmap = [&](const std::string& list, uint8_t length) {
    return Do(0, {0x42, 0, 0, 0, 0, 0, 0, 0, length}, list).sense;
  };
  EXPECT_EQ(unmap(UnmapList({{0, 8}, {2048, 1}}), 40), sense::kBlockOutOfRange);
  EXPECT_EQ(unmap(UnmapList({{~uint64_t{0}, 2}}), 24), sense::kBlockOutOfRange);
  EXPECT_EQ(unmap(UnmapList({{0, 0xffffffff}}), 24), sense::kInvalidParameter);
  EXPECT_EQ(unmap(UnmapList({{0, 1}}), 7), sense::kParameterListLength);
  EXPECT_EQ(unmap(UnmapList({{0, 1}, {8, 1}}), 24), sense::kParameterListLength);
  std::string many = UnmapList({{0, 1}});
  StoreBe(many.data() + 2, static_cast<uint16_t>(16 * 257));
  EXPECT_EQ(unmap(many, 24), sense::kInvalidParameter);
  EXPECT_EQ(Do(0, {0x42, 0, 0, 0, 0, 0, 0, 0, 40}, UnmapList({{0, 1}})).response, kOverrun);
  EXPECT_TRUE(node->log.empty());
}

TEST_F(VirtioScsiTest, WritesTheSame) {
  const auto node = Add({});
  StartQuietly();
  const std::string zeroes(512, '\0');
  EXPECT_EQ(Do(0, {0x41, 0, 0, 0, 0, 1, 0, 0, 2}, zeroes).status, kGood);
  EXPECT_EQ(Do(0, {0x93, 0x08, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 8}, zeroes).status, kGood);
  EXPECT_EQ(Do(0, {0x93, 0x01, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1}).status, kGood) << "no data: zeroes";
  EXPECT_THAT(node->log, ElementsAre(Seen{Op::kWriteZeroes, false, false, 512, 1024},
                                     Seen{Op::kWriteZeroes, false, true, 2048, 4096},
                                     Seen{Op::kWriteZeroes, false, false, 4608, 512}));
  EXPECT_EQ(Do(0, {0x41, 0, 0, 0, 0, 0, 0, 0, 0}, zeroes).sense, sense::kInvalidFieldInCdb);
  EXPECT_EQ(Do(0, {0x41, 0, 0, 0, 0, 0, 0, 0, 1}, "short").response, kOverrun);
}

TEST_F(VirtioScsiTest, WritesTheSameDataOverAndOver) {
  const auto node = Add({}, 4 << 20);
  StartQuietly();
  std::string block(512, 'a');
  block.back() = 'b';
  EXPECT_EQ(Do(0, {0x93, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0x0f, 0xff}, block).status, kGood);
  EXPECT_THAT(node->log, ElementsAre(Seen{Op::kWrite, false, false, 1536, 1 << 20},
                                     Seen{Op::kWrite, false, false, 1536 + (1 << 20), (1 << 20) - 512}));
  EXPECT_EQ(node->content[1535], 0);
  for (size_t at = 1536; at < 1536 + 0xfff * 512; at += 512)
    ASSERT_TRUE(std::equal(block.begin(), block.end(), node->content.begin() + static_cast<ptrdiff_t>(at)));
  EXPECT_EQ(node->content[1536 + 0xfff * 512], 0);
}

TEST_F(VirtioScsiTest, ErrorsOfTheDiskAreTold) {
  const auto node = Add({});
  StartQuietly();
  const std::string sector(512, 'x');
  node->errors = {EIO, EIO, ENOSPC, EROFS, EINVAL};
  EXPECT_EQ(Do(0, {0x28, 0, 0, 0, 0, 0, 0, 0, 1}, "", 512).sense, sense::kUnrecoveredRead);
  EXPECT_EQ(Do(0, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, sector).sense, sense::kWriteError);
  EXPECT_EQ(Do(0, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, sector).sense, sense::kNoSpace);
  EXPECT_EQ(Do(0, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, sector).sense, sense::kWriteProtected);
  EXPECT_EQ(Do(0, {0x35}).sense, sense::kInternalFailure);
  EXPECT_EQ(Do(0, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, sector).status, kGood);
}

TEST_F(VirtioScsiTest, ManyRequestsAreOneSubmissionAndOneInterrupt) {
  const auto first = Add({}), second = Add({});
  StartQuietly();
  virtio->TakeInterrupts(kRequests);
  first->batches.clear();
  for (uint8_t i = 0; i < 10; ++i) Post(Lun(i % 2), {0x28, 0, 0, 0, 0, i, 0, 0, 1}, "", 512);
  virtio->Kick(kRequests);
  EXPECT_THAT(first->batches, ElementsAre(5));
  EXPECT_THAT(second->batches, ElementsAre(5));
  EXPECT_EQ(virtio->TakeInterrupts(kRequests), 1u);
}

TEST_F(VirtioScsiTest, EveryQueueIsServed) {
  Add({});
  Start(~uint64_t{0}, 3);
  for (unsigned queue = kRequests; queue < kRequests + 3; ++queue) {
    Post(Lun(0), {0x12, 0, 0, 0, 36}, "", 36, 1, queue);
    virtio->Kick(queue);
    EXPECT_TRUE(virtio->driver(queue).TakeUsed());
    EXPECT_EQ(virtio->TakeInterrupts(queue), 1u);
  }
}

TEST_F(VirtioScsiTest, ResetWaitsForTasksAndBeginsAnew) {
  const auto node = Add({});
  StartQuietly();
  node->hold = true;
  Post(Lun(0), {0x35});
  virtio->Kick(kRequests);
  EXPECT_THAT(node->held, SizeIs(1));
  virtio->Reset();
  EXPECT_THAT(node->held, SizeIs(0));
  node->hold = false;
  ASSERT_TRUE(virtio->Activate());
  EXPECT_EQ(Do(0, {0x00}).sense, sense::kPowerOn);
}

TEST_F(VirtioScsiTest, CountsWhatEachUnitDid) {
  Add({});
  Add({});
  StartQuietly();
  Do(1, {0x2a, 0, 0, 0, 0, 0, 0, 0, 2}, std::string(1024, 'x'));
  Do(1, {0x35});
  std::map<std::string, uint64_t> values;
  for (const NamedCounter& named : device->unit_counters(1)) values[named.name] = named.counter->value();
  EXPECT_EQ(values["writes"], 1u);
  EXPECT_EQ(values["written_bytes"], 1024u);
  EXPECT_EQ(values["flushes"], 1u);
  EXPECT_EQ(values["errors"], 1u) << "the attention";
}

TEST_F(VirtioScsiTest, OptionsThatMakeNoUnitAreRefused) {
  EXPECT_FALSE(CreateVirtioScsi({}, {}));
  const auto refused = [&](const ScsiUnitOptions& options, uint64_t size_bytes) {
    units.clear();
    Add(options, size_bytes);
    const auto created = CreateVirtioScsi({}, units);
    return created ? "" : created.error().message();
  };
  EXPECT_EQ(refused({.name = "data"}, 100), "data: 100 bytes are no block of 512");
  EXPECT_NE(refused({.logical_block_size_bytes = 1000}, 4096), "");
  EXPECT_NE(refused({.serial = "123456789012345678901"}, 4096), "");
  EXPECT_EQ(refused({}, 4096), "");
}

}  // namespace
}  // namespace berth::hw
