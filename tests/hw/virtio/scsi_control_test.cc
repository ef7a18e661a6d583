// Task management and events of virtio-scsi.
#include "tests/hw/virtio/scsi_fixture.h"

namespace berth::hw {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

constexpr uint8_t kOk = 0, kAborted = 2, kBadTarget = 3, kReset = 4, kFailure = 9, kSucceeded = 10,
                  kRejected = 11, kIncorrectLun = 12;
constexpr uint32_t kAbortTask = 0, kAbortTaskSet = 1, kClearAca = 2, kNexusReset = 4, kUnitReset = 5,
                   kQueryTask = 6, kQueryTaskSet = 7;
constexpr uint8_t kUntouched = 0xee;

struct ScsiControlTest : VirtioScsiTest {
  void SetUp() override {
    nodes = {Add({}), Add({})};
    StartQuietly();
    for (const auto& node : nodes) node->hold = true;
  }
  // A flush that the unit's node keeps.
  Pending Hold(uint8_t lun, uint64_t id) {
    const Pending pending = Post(Lun(lun), {0x35}, "", 0, id);
    virtio->Kick(kRequests);
    return pending;
  }
  uint8_t ResponseOf(const Pending& pending) { return *virtio->ram().At(pending.response.address + 11); }
  void Release(uint8_t lun) {
    virtio->loop().Post([this, lun] { nodes[lun]->Release(0); });
    virtio->Turn();
  }

  // Asks for a function; where the response will be.
  uint64_t Ask(uint32_t function, const std::string& lun, uint64_t id = 0) {
    std::string request(24, '\0');
    StoreLe(request.data() + 4, function);
    std::copy(lun.begin(), lun.end(), request.begin() + 8);
    StoreLe(request.data() + 16, id);
    const FakeBuffer response = virtio->driver(kControl).Writable(1);
    *virtio->ram().At(response.address) = kUntouched;
    virtio->driver(kControl).Add({virtio->driver(kControl).Readable(request), response});
    virtio->Kick(kControl);
    return response.address;
  }
  uint8_t Function(uint32_t function, const std::string& lun, uint64_t id = 0) {
    return *virtio->ram().At(Ask(function, lun, id));
  }

  std::vector<std::shared_ptr<block::FakeBlockNode>> nodes;
};

TEST_F(ScsiControlTest, AnAbortIsDoneWhenItsTaskHasEnded) {
  const Pending first = Hold(0, 1), second = Hold(0, 2);
  const uint64_t response = Ask(kAbortTask, Lun(0), 2);
  EXPECT_EQ(*virtio->ram().At(response), kUntouched);
  Release(0);
  EXPECT_EQ(ResponseOf(first), kOk);
  EXPECT_EQ(*virtio->ram().At(response), kUntouched);
  Release(0);
  EXPECT_EQ(ResponseOf(second), kAborted);
  EXPECT_EQ(*virtio->ram().At(response), kOk);
  EXPECT_EQ(virtio->driver(kControl).TakeUsed()->written, 1u);
}

TEST_F(ScsiControlTest, WhatIsAbortedDoesNotGoOn) {
  std::string list(8 + 32, '\0');
  list[3] = 32;
  list[8 + 11] = 1;
  list[8 + 16 + 11] = 1;
  const Pending unmap = Post(Lun(0), {0x42, 0, 0, 0, 0, 0, 0, 0, 40}, list, 0, 5);
  virtio->Kick(kRequests);
  Ask(kAbortTask, Lun(0), 5);
  Release(0);
  EXPECT_EQ(ResponseOf(unmap), kAborted);
  EXPECT_THAT(nodes[0]->log, SizeIs(1)) << "of two ranges";
}

TEST_F(ScsiControlTest, AUnitsResetEndsItsTasksAndIsTold) {
  const Pending first = Hold(0, 1), other = Hold(1, 1);
  const uint64_t response = Ask(kUnitReset, Lun(0));
  Release(0);
  EXPECT_EQ(ResponseOf(first), kReset);
  EXPECT_EQ(*virtio->ram().At(response), kOk);
  EXPECT_EQ(ResponseOf(other), kUntouched);
  Release(1);
  EXPECT_EQ(ResponseOf(other), kOk);
  while (virtio->driver(kRequests).TakeUsed()) {
  }
  EXPECT_EQ(Do(0, {0x00}).sense, sense::kResetByFunction);
  EXPECT_EQ(Do(1, {0x00}).status, 0);
}

TEST_F(ScsiControlTest, ANexusResetEndsAll) {
  const Pending first = Hold(0, 1), other = Hold(1, 1);
  const uint64_t response = Ask(kNexusReset, Lun(9));
  Release(0);
  EXPECT_EQ(*virtio->ram().At(response), kUntouched);
  Release(1);
  EXPECT_EQ(ResponseOf(first), kReset);
  EXPECT_EQ(ResponseOf(other), kReset);
  EXPECT_EQ(*virtio->ram().At(response), kOk);
}

// One at a time: what comes meanwhile waits.
TEST_F(ScsiControlTest, FunctionsAreCarriedOutInOrder) {
  Hold(0, 1);
  const uint64_t first = Ask(kAbortTaskSet, Lun(0)), second = Ask(kQueryTask, Lun(0), 1);
  EXPECT_EQ(*virtio->ram().At(second), kUntouched);
  Release(0);
  EXPECT_EQ(*virtio->ram().At(first), kOk);
  EXPECT_EQ(*virtio->ram().At(second), kOk) << "it is not there any more";
}

TEST_F(ScsiControlTest, QueriesSayWhatIsThere) {
  Hold(0, 7);
  EXPECT_EQ(Function(kQueryTask, Lun(0), 7), kSucceeded);
  EXPECT_EQ(Function(kQueryTask, Lun(0), 8), kOk);
  EXPECT_EQ(Function(kQueryTask, Lun(1), 7), kOk);
  EXPECT_EQ(Function(kQueryTaskSet, Lun(0)), kSucceeded);
  EXPECT_EQ(Function(kAbortTask, Lun(0), 8), kOk) << "nothing to abort";
}

TEST_F(ScsiControlTest, WhatIsNotThereIsRefused) {
  EXPECT_EQ(Function(kClearAca, Lun(0)), kRejected);
  EXPECT_EQ(Function(8, Lun(0)), kRejected);
  EXPECT_EQ(Function(kUnitReset, Lun(2)), kIncorrectLun);
  EXPECT_EQ(Function(kUnitReset, std::string("\1\1\x40\0\0\0\0\0", 8)), kBadTarget);
  const FakeBuffer response = virtio->driver(kControl).Writable(1);
  virtio->driver(kControl).Add({virtio->driver(kControl).Readable("\7\7\7\7"), response});
  virtio->Kick(kControl);
  EXPECT_EQ(*virtio->ram().At(response.address), kFailure);
}

TEST_F(ScsiControlTest, NoAsynchronousNotificationsAreOffered) {
  for (char type : {1, 2}) {
    std::string request(16, '\xff');
    request.replace(0, 4, std::string{type, 0, 0, 0});
    request.replace(4, 8, Lun(1));
    const FakeBuffer response = virtio->driver(kControl).Writable(5);
    std::fill_n(virtio->ram().At(response.address, 5), 5, kUntouched);
    virtio->driver(kControl).Add({virtio->driver(kControl).Readable(request), response});
    virtio->Kick(kControl);
    EXPECT_EQ(virtio->driver(kControl).TakeUsed()->written, 5u);
    EXPECT_EQ(virtio->ram().Text(response.address, 5), std::string(5, '\0'));
  }
}

TEST_F(ScsiControlTest, ADiskThatGrowsIsTold) {
  const FakeBuffer buffer = virtio->driver(kEvents).Writable(16);
  virtio->driver(kEvents).Add({buffer});
  virtio->Kick(kEvents);
  EXPECT_FALSE(virtio->driver(kEvents).TakeUsed());

  ASSERT_TRUE(device->Grow(1, 2 << 20));

  EXPECT_EQ(virtio->driver(kEvents).TakeUsed()->written, 16u);
  EXPECT_EQ(virtio->ram().Text(buffer.address, 16), std::string("\3\0\0\0"
                                                                "\1\0\x40\1\0\0\0\0"
                                                                "\x2a\x09\0\0",
                                                                16));
  EXPECT_EQ(Do(1, {0x00}).sense, sense::kCapacityChanged);
  EXPECT_EQ(Do(1, {0x25}, "", 8).Number(0, 4), 4095u);
  EXPECT_EQ(Do(0, {0x00}).status, 0);
}

TEST_F(ScsiControlTest, AnEventWaitsForABuffer) {
  ASSERT_TRUE(device->Grow(0, 2 << 20));
  ASSERT_TRUE(device->Grow(0, 4 << 20));
  ASSERT_TRUE(device->Grow(0, 1 << 20)) << "it is larger already";
  virtio->driver(kEvents).Add({virtio->driver(kEvents).Writable(15)});
  virtio->Kick(kEvents);
  EXPECT_EQ(virtio->driver(kEvents).TakeUsed()->written, 0u) << "too short";
  for (int i = 0; i < 2; ++i) {
    virtio->driver(kEvents).Add({virtio->driver(kEvents).Writable(16)});
    virtio->Kick(kEvents);
  }
  EXPECT_EQ(virtio->driver(kEvents).TakeUsed()->written, 16u);
  EXPECT_FALSE(virtio->driver(kEvents).TakeUsed()) << "both are one change";
}

}  // namespace
}  // namespace berth::hw
