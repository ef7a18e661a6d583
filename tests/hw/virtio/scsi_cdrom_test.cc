// CD-ROMs behind virtio-scsi.
#include "tests/hw/virtio/scsi_fixture.h"

namespace berth::hw {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

constexpr uint8_t kGood = 0;

struct ScsiCdRomTest : VirtioScsiTest {
  void StartDrive(uint64_t size_bytes = 1 << 20) {
    node = Add({.kind = ScsiUnitKind::kCdRom, .name = "cd"}, size_bytes);
    StartQuietly();
  }
  // START STOP UNIT: LOEJ, and START for closing.
  Answer Open() { return Do(0, {0x1b, 0, 0, 0, 2}); }
  Answer Close() { return Do(0, {0x1b, 0, 0, 0, 3}); }
  // GET EVENT STATUS NOTIFICATION of media: the event and the state.
  std::pair<uint8_t, uint8_t> Polled() {
    const Answer answer = Do(0, {0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}, "", 8);
    return {answer.At(4), answer.At(5)};
  }

  std::shared_ptr<block::FakeBlockNode> node;
};

TEST_F(ScsiCdRomTest, IsReadInBlocksOf2048) {
  StartDrive();
  std::copy_n("CD001", 5, node->content.begin() + 16 * 2048 + 1);
  EXPECT_EQ(Do(0, {0x12, 0, 0, 0, 36}, "", 36).Number(0, 2), 0x0580u) << "a CD-ROM, removable";
  const Answer capacity = Do(0, {0x25}, "", 8);
  EXPECT_EQ(capacity.Number(0, 4), 511u);
  EXPECT_EQ(capacity.Number(4, 4), 2048u);
  EXPECT_EQ(Do(0, {0x28, 0, 0, 0, 0, 16, 0, 0, 1}, "", 2048).data.substr(1, 5), "CD001");
  EXPECT_EQ(Do(0, {0xa8, 0, 0, 0, 0, 16, 0, 0, 0, 1}, "", 2048).data.substr(1, 5), "CD001");
  EXPECT_EQ(Do(0, {0x28, 0, 0, 0, 2, 0, 0, 0, 1}, "", 2048).sense, sense::kBlockOutOfRange);
}

TEST_F(ScsiCdRomTest, NothingWritesToIt) {
  StartDrive();
  EXPECT_EQ(Do(0, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, std::string(2048, 'x')).sense,
            sense::kInvalidOperationCode);
  EXPECT_EQ(Do(0, {0x42, 0, 0, 0, 0, 0, 0, 0, 8}, std::string(8, '\0')).sense, sense::kInvalidOperationCode);
  EXPECT_EQ(Do(0, {0x35}).status, kGood);
  EXPECT_TRUE(node->log.empty());
}

TEST_F(ScsiCdRomTest, HasOneTrack) {
  StartDrive();
  const Answer blocks = Do(0, {0x43, 0, 0, 0, 0, 0, 0, 0, 255}, "", 255);
  EXPECT_EQ(blocks.data, std::string("\0\x12\1\1"
                                     "\0\x14\1\0\0\0\0\0"
                                     "\0\x14\xaa\0\0\0\2\0",
                                     20));
  const Answer msf = Do(0, {0x43, 2, 0, 0, 0, 0, 0xaa, 0, 255}, "", 255);
  EXPECT_EQ(msf.data, std::string("\0\x0a\1\1"
                                  "\0\x14\xaa\0\0\0\x08\x3e",
                                  12))
      << "512 + 150 frames";
  EXPECT_EQ(Do(0, {0x43, 0, 1, 0, 0, 0, 0, 0, 255}, "", 255).data.size(), 12u) << "sessions";
  EXPECT_EQ(Do(0, {0x43, 0, 0, 0, 0, 0, 2, 0, 255}, "", 255).sense, sense::kInvalidFieldInCdb);
  EXPECT_EQ(Do(0, {0x43, 0, 5, 0, 0, 0, 0, 0, 255}, "", 255).sense, sense::kInvalidFieldInCdb);
  EXPECT_EQ(Do(0, {0x51, 0, 0, 0, 0, 0, 0, 0, 34}, "", 34).At(2), 0x0e) << "complete";
}

TEST_F(ScsiCdRomTest, ProfileIsThatOfItsSize) {
  StartDrive();
  const Answer all = Do(0, {0x46, 0, 0, 0, 0, 0, 0, 1, 0}, "", 256);
  EXPECT_EQ(all.Number(0, 4), all.data.size() - 4);
  EXPECT_EQ(all.Number(6, 2), 0x0008u) << "CD-ROM";
  EXPECT_EQ(Do(0, {0x46, 2, 0, 3, 0, 0, 0, 1, 0}, "", 256).data.substr(8),
            std::string("\0\3\3\4\x29\0\0\0", 8));
  EXPECT_EQ(Do(0, {0x46, 2, 0, 0x2a, 0, 0, 0, 1, 0}, "", 256).data.size(), 8u) << "no such feature";
}

TEST_F(ScsiCdRomTest, CapabilitiesAreTold) {
  StartDrive();
  const Answer page = Do(0, {0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128}, "", 128);
  EXPECT_EQ(page.At(7), 0) << "no block descriptor";
  EXPECT_EQ(page.At(8), 0x2a);
  EXPECT_EQ(page.At(8 + 6) & 0xe0, 0x20) << "a tray";
}

TEST_F(ScsiCdRomTest, OpensAndCloses) {
  StartDrive();
  EXPECT_EQ(Polled(), std::pair(uint8_t{0}, uint8_t{2})) << "a medium is there";
  EXPECT_EQ(Open().status, kGood);
  EXPECT_EQ(Polled(), std::pair(uint8_t{3}, uint8_t{1})) << "it has gone";
  EXPECT_EQ(Polled(), std::pair(uint8_t{0}, uint8_t{1}));
  EXPECT_EQ(Do(0, {0x00}).sense, sense::kTrayOpen);
  EXPECT_EQ(Do(0, {0x28, 0, 0, 0, 0, 0, 0, 0, 1}, "", 2048).sense, sense::kTrayOpen);
  EXPECT_EQ(Do(0, {0x46, 0, 0, 0, 0, 0, 0, 1, 0}, "", 256).Number(6, 2), 0u) << "no profile";
  EXPECT_EQ(Do(0, {0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8}, "", 8).At(1), 0x10);

  EXPECT_EQ(Close().status, kGood);
  EXPECT_EQ(Polled(), std::pair(uint8_t{2}, uint8_t{2}));
  EXPECT_EQ(Do(0, {0x00}).sense, sense::kMediumChanged);
  EXPECT_EQ(Do(0, {0x00}).status, kGood);
}

TEST_F(ScsiCdRomTest, DoesNotOpenWhileRemovalIsPrevented) {
  StartDrive();
  EXPECT_EQ(Do(0, {0x1e, 0, 0, 0, 1}).status, kGood);
  EXPECT_EQ(Open().sense, sense::kRemovalPrevented);
  EXPECT_EQ(Do(0, {0x00}).status, kGood);
  EXPECT_EQ(Do(0, {0x1e, 0, 0, 0, 0}).status, kGood);
  EXPECT_EQ(Open().status, kGood);
}

TEST_F(ScsiCdRomTest, IsClosedAndUnlockedAfterAReset) {
  StartDrive();
  Open();
  virtio->Reset();
  ASSERT_TRUE(virtio->Activate());
  EXPECT_EQ(Do(0, {0x00}).sense, sense::kPowerOn);
  EXPECT_EQ(Do(0, {0x00}).status, kGood);
}

}  // namespace
}  // namespace berth::hw
