#include "hw/vhost_user/backend.h"

#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/virtio/block.h"
#include "hw/virtio/block_config.h"
#include "tests/fakes/fake_block_node.h"
#include "tests/fakes/fake_driver.h"
#include "tests/hw/vhost_user/fake_front_end.h"

namespace berth::hw {
namespace {

using testing::Eq;
using testing::HasSubstr;
using testing::Optional;

constexpr uint64_t kRamAddress = 0x10000, kUserAddress = 0x7f00'0000'0000;
constexpr uint32_t kNeedsReply = kVhostUserVersion | kVhostUserNeedReply;

// A disk of 1 MiB with two queues, served to a front-end whose guest has 16 MiB.
struct VhostUserBackendTest : testing::Test {
  void SetUp() override {
    device = *CreateVirtioBlock({.queues = 2}, node);
    backend = *VhostUserBackend::Create(loop.get(), front_end.TakeBackEndSocket(), device.get(),
                                        [this](const Status& why) { ended = why.error().message(); });
    for (unsigned i = 0; i < 2; ++i) drivers.push_back(FakeDriver::Create(&ram, 64, features));
  }

  void Turn() {
    loop->Post([this] { loop->Stop(); });
    loop->Run();
  }
  void Send(VhostUserRequest request, std::string_view payload, const std::vector<int>& fds = {}) {
    front_end.Send(request, payload, fds);
    Turn();
  }
  template <typename T>
  requires(!std::convertible_to<T, std::string_view>) void Send(VhostUserRequest request, const T& value,
                                                                const std::vector<int>& fds = {}) {
    Send(request, std::string_view(reinterpret_cast<const char*>(&value), sizeof(value)), fds);
  }
  uint64_t Ask(VhostUserRequest request) {
    Send(request, std::string_view());
    return front_end.TakeNumber().value_or(0);
  }
  // What comes of a message: 0, or 1 for a refusal.
  std::optional<uint64_t> Try(VhostUserRequest request, std::string_view payload,
                              const std::vector<int>& fds = {}) {
    front_end.Send(request, payload, fds, kNeedsReply);
    Turn();
    return front_end.TakeNumber();
  }

  static uint64_t UserOf(uint64_t guest_address) { return guest_address - kRamAddress + kUserAddress; }
  VhostUserMemoryRegion Region() const {
    return {.guest_address = kRamAddress, .size = 16 * kMiB, .user_address = kUserAddress};
  }
  std::string Table() const { return FakeFrontEnd::Bytes(uint64_t{1}) + FakeFrontEnd::Bytes(Region()); }
  void Negotiate() {
    Send(VhostUserRequest::kSetOwner, std::string_view());
    Send(VhostUserRequest::kSetFeatures, features | kVhostUserProtocolFeatures);
    Send(VhostUserRequest::kSetProtocolFeatures,
         kVhostUserMultiQueue | kVhostUserReplyAck | kVhostUserConfig);
    Send(VhostUserRequest::kSetMemTable, Table(), {ram.block(0).mapping().fd});
  }
  void StartRing(uint32_t index, uint16_t base = 0) {
    const QueueLayout& layout = drivers[index]->layout();
    Send(VhostUserRequest::kSetVringNum, VhostUserVringState{index, layout.size});
    Send(VhostUserRequest::kSetVringBase, VhostUserVringState{index, base});
    Send(VhostUserRequest::kSetVringAddr, VhostUserVringAddr{.index = index,
                                                             .descriptor = UserOf(layout.descriptor_area),
                                                             .used = UserOf(layout.device_area),
                                                             .available = UserOf(layout.driver_area)});
    Send(VhostUserRequest::kSetVringCall, uint64_t{index}, {call.get()});
    Send(VhostUserRequest::kSetVringKick, uint64_t{index}, {kick.get()});
    Send(VhostUserRequest::kSetVringEnable, VhostUserVringState{index, 1});
  }
  uint16_t StopRing(uint32_t index) {
    Send(VhostUserRequest::kGetVringBase, VhostUserVringState{index, 0});
    const auto reply = front_end.TakeReply();
    if (!reply || reply->size() != sizeof(VhostUserVringState)) {
      ADD_FAILURE() << "no place of a ring in the reply";
      return UINT16_MAX;
    }
    return static_cast<uint16_t>(LoadLe<uint32_t>(reply->data() + 4));
  }

  // A write of one sector; returns where its status will be.
  uint64_t AddWrite(unsigned queue, uint64_t sector, char content) {
    std::string header(16, '\0');
    StoreLe<uint32_t>(header.data(), 1);
    StoreLe<uint64_t>(header.data() + 8, sector);
    const FakeBuffer status = drivers[queue]->Writable(1);
    ram.Set<uint8_t>(status.address, 0xee);
    drivers[queue]->Add(
        {drivers[queue]->Readable(header), drivers[queue]->Readable(std::string(512, content)), status});
    SignalEventFd(kick.get());
    Turn();
    return status.address;
  }

  const uint64_t features =
      kVirtioVersion1 | kVirtioRingEventIdx | kVirtioRingIndirectDesc | kBlockFlush | kBlockMultiQueue;
  std::unique_ptr<EventLoop> loop = *EventLoop::Create();
  std::shared_ptr<block::FakeBlockNode> node = std::make_shared<block::FakeBlockNode>(1 << 20);
  FakeRam ram{{{kRamAddress, 16 * kMiB}}};
  UniqueFd kick = *CreateEventFd(), call = *CreateEventFd();
  std::vector<std::unique_ptr<FakeDriver>> drivers;
  FakeFrontEnd front_end;
  std::unique_ptr<VirtioBlock> device;
  std::unique_ptr<VhostUserBackend> backend;
  std::optional<std::string> ended;
};

TEST_F(VhostUserBackendTest, SaysWhatItCan) {
  EXPECT_EQ(Ask(VhostUserRequest::kGetFeatures) & (features | kVhostUserProtocolFeatures | kVirtioRingPacked),
            features | kVhostUserProtocolFeatures);
  EXPECT_NE(Ask(VhostUserRequest::kGetProtocolFeatures) & kVhostUserReplyAck, 0u);
  EXPECT_EQ(Ask(VhostUserRequest::kGetQueueNum), 2u);
  EXPECT_EQ(Ask(VhostUserRequest::kGetMaxMemSlots), kVhostUserMaxRegions);
}

TEST_F(VhostUserBackendTest, ServesRings) {
  Negotiate();
  StartRing(0);
  const uint64_t status = AddWrite(0, 7, 'w');
  EXPECT_EQ(ram.Get<uint8_t>(status), 0);
  EXPECT_EQ(node->content[7 * 512], 'w');
  EXPECT_EQ(DrainEventFd(call.get()), 1u);
  EXPECT_FALSE(ended);
}

TEST_F(VhostUserBackendTest, ARingIsServedOnlyWhileItIsEnabled) {
  Negotiate();
  StartRing(0);
  Send(VhostUserRequest::kSetVringEnable, VhostUserVringState{0, 0});
  const uint64_t status = AddWrite(0, 0, 'w');
  EXPECT_EQ(ram.Get<uint8_t>(status), 0xee);
  Send(VhostUserRequest::kSetVringEnable, VhostUserVringState{0, 1});
  Turn();
  EXPECT_EQ(ram.Get<uint8_t>(status), 0);
}

TEST_F(VhostUserBackendTest, ARingGoesOnWhereItWasStopped) {
  Negotiate();
  StartRing(0);
  AddWrite(0, 0, 'a');
  AddWrite(0, 1, 'b');
  const uint16_t base = StopRing(0);
  EXPECT_EQ(base, 2);
  const uint64_t status = AddWrite(0, 2, 'c');
  EXPECT_EQ(ram.Get<uint8_t>(status), 0xee);
  StartRing(0, base);
  Turn();
  EXPECT_EQ(ram.Get<uint8_t>(status), 0);
  EXPECT_EQ(node->content[2 * 512], 'c');
}

TEST_F(VhostUserBackendTest, WhatIsInFlightEndsBeforeARingStops) {
  Negotiate();
  StartRing(0);
  node->hold = true;
  const uint64_t status = AddWrite(0, 0, 'a');
  EXPECT_EQ(ram.Get<uint8_t>(status), 0xee);
  DrainEventFd(call.get());
  EXPECT_EQ(StopRing(0), 1);
  EXPECT_EQ(ram.Get<uint8_t>(status), 0);
  EXPECT_EQ(DrainEventFd(call.get()), 1u);
}

TEST_F(VhostUserBackendTest, StartingOneRingLeavesAnotherRunning) {
  Negotiate();
  StartRing(0);
  AddWrite(0, 0, 'a');
  StartRing(1);
  EXPECT_EQ(ram.Get<uint8_t>(AddWrite(0, 1, 'b')), 0);
  EXPECT_EQ(ram.Get<uint8_t>(AddWrite(1, 2, 'c')), 0);
}

TEST_F(VhostUserBackendTest, TheInterruptMayBeExchangedUnderARunningRing) {
  Negotiate();
  StartRing(0);
  const UniqueFd other = *CreateEventFd();
  Send(VhostUserRequest::kSetVringCall, uint64_t{0}, {other.get()});
  AddWrite(0, 0, 'a');
  EXPECT_EQ(DrainEventFd(call.get()), 0u);
  EXPECT_EQ(DrainEventFd(other.get()), 1u);
}

TEST_F(VhostUserBackendTest, MemoryMayComeAndGoUnderARunningRing) {
  Negotiate();
  StartRing(0);
  Send(VhostUserRequest::kSetMemTable, Table(), {ram.block(0).mapping().fd});
  EXPECT_EQ(ram.Get<uint8_t>(AddWrite(0, 0, 'a')), 0);
  // Without the memory that the ring is in, it cannot go on.
  struct Payload {
    uint64_t padding;
    VhostUserMemoryRegion region;
  };
  EXPECT_THAT(Try(VhostUserRequest::kRemMemReg, FakeFrontEnd::Bytes(Payload{0, Region()})), Optional(Eq(1u)));
  EXPECT_THAT(Try(VhostUserRequest::kAddMemReg, FakeFrontEnd::Bytes(Payload{0, Region()}),
                  {ram.block(0).mapping().fd}),
              Optional(Eq(0u)));
  EXPECT_EQ(ram.Get<uint8_t>(AddWrite(0, 1, 'b')), 0);
}

TEST_F(VhostUserBackendTest, ReadsAndWritesTheConfiguration) {
  Negotiate();
  const std::string ask = FakeFrontEnd::Bytes(VhostUserConfigHeader{0, 8, 0}) + std::string(8, '\0');
  Send(VhostUserRequest::kGetConfig, ask);
  const auto reply = front_end.TakeReply();
  ASSERT_TRUE(reply && reply->size() == ask.size());
  EXPECT_EQ(LoadLe<uint64_t>(reply->data() + sizeof(VhostUserConfigHeader)), 2048u);
  // The cache's mode stays over what starts and stops rings.
  Send(VhostUserRequest::kSetFeatures, features | kBlockConfigWce | kVhostUserProtocolFeatures);
  Send(VhostUserRequest::kSetConfig,
       FakeFrontEnd::Bytes(VhostUserConfigHeader{32, 1, 0}) + std::string(1, '\0'));
  StartRing(0);
  AddWrite(0, 0, 'a');
  EXPECT_TRUE(node->log.back().fua);
}

TEST_F(VhostUserBackendTest, RefusesWhatIsWrong) {
  Negotiate();
  const auto refused = [&](VhostUserRequest request, std::string_view payload,
                           const std::vector<int>& fds = {}) {
    EXPECT_THAT(Try(request, payload, fds), Optional(Eq(1u))) << static_cast<uint32_t>(request);
  };
  refused(VhostUserRequest::kSetFeatures, FakeFrontEnd::Bytes(kVirtioRingPacked));
  refused(VhostUserRequest::kSetFeatures, "short");
  refused(VhostUserRequest::kSetVringNum, FakeFrontEnd::Bytes(VhostUserVringState{2, 64}));
  refused(VhostUserRequest::kSetVringNum, FakeFrontEnd::Bytes(VhostUserVringState{0, 65536}));
  refused(VhostUserRequest::kSetVringKick, FakeFrontEnd::Bytes(kVhostUserVringNoFd));
  refused(VhostUserRequest::kSetVringCall, FakeFrontEnd::Bytes(uint64_t{0}));
  refused(VhostUserRequest::kSetMemTable, Table());
  VhostUserMemoryRegion wraps = Region();
  wraps.size = ~uint64_t{0};
  refused(VhostUserRequest::kSetMemTable, FakeFrontEnd::Bytes(uint64_t{1}) + FakeFrontEnd::Bytes(wraps),
          {ram.block(0).mapping().fd});
  VhostUserMemoryRegion beyond = Region();
  beyond.mmap_offset = 4096;
  refused(VhostUserRequest::kSetMemTable, FakeFrontEnd::Bytes(uint64_t{1}) + FakeFrontEnd::Bytes(beyond),
          {ram.block(0).mapping().fd});
  refused(static_cast<VhostUserRequest>(77), "");
  EXPECT_FALSE(ended);
}

TEST_F(VhostUserBackendTest, ARingOutsideOfMemoryIsRefused) {
  Negotiate();
  Send(VhostUserRequest::kSetVringNum, VhostUserVringState{0, 64});
  Send(VhostUserRequest::kSetVringKick, uint64_t{0}, {kick.get()});
  EXPECT_THAT(Try(VhostUserRequest::kSetVringEnable, FakeFrontEnd::Bytes(VhostUserVringState{0, 1})),
              Optional(Eq(1u)));
}

TEST_F(VhostUserBackendTest, EndsWithTheFrontEnd) {
  Negotiate();
  StartRing(0);
  front_end.Close();
  Turn();
  EXPECT_THAT(ended, Optional(HasSubstr("closed")));
}

TEST_F(VhostUserBackendTest, EndsAtWhatIsNoMessage) {
  front_end.SendBytes(FakeFrontEnd::Message(VhostUserRequest::kGetFeatures, "", /*flags=*/2));
  Turn();
  EXPECT_THAT(ended, Optional(HasSubstr("flags")));
}

TEST_F(VhostUserBackendTest, MessagesMayComeInPieces) {
  const std::string message =
      FakeFrontEnd::Message(VhostUserRequest::kSetFeatures, FakeFrontEnd::Bytes(features)) +
      FakeFrontEnd::Message(VhostUserRequest::kGetQueueNum, "");
  for (const char byte : message) {
    front_end.SendBytes(std::string(1, byte));
    Turn();
  }
  EXPECT_THAT(front_end.TakeNumber(), Optional(Eq(2u)));
}

}  // namespace
}  // namespace berth::hw
