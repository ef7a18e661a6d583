// The console device with a port for the guest's agent.
#include <deque>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "hw/virtio/console.h"
#include "tests/fakes/fake_virtio.h"

namespace berth::hw {
namespace {

constexpr uint64_t kMultiport = 1 << 1;
constexpr unsigned kConsoleTransmit = 1, kControlReceive = 2, kControlTransmit = 3, kAgentReceive = 4,
                   kAgentTransmit = 5;
enum Event : uint16_t {
  kDeviceReady,
  kPortAdd,
  kPortRemove,
  kPortReady,
  kConsolePort,
  kResize,
  kOpen,
  kName
};

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class ConsoleAgent : public testing::Test {
 protected:
  static VirtioConsole::Output To(std::string* text) {
    return [text](std::span<const uint8_t> bytes) {
      text->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
  }
  void Tell(uint32_t id, uint16_t event, uint16_t value) {
    std::string message(8, 0);
    StoreLe(reinterpret_cast<uint8_t*>(message.data()), id);
    StoreLe(reinterpret_cast<uint8_t*>(message.data()) + 4, event);
    StoreLe(reinterpret_cast<uint8_t*>(message.data()) + 6, value);
    fake.driver(kControlTransmit).Add({fake.driver(kControlTransmit).Readable(message)});
    fake.Kick(kControlTransmit);
    EXPECT_TRUE(fake.driver(kControlTransmit).TakeUsed());
  }
  void GiveBuffer(uint32_t size = 64) {
    buffers.push_back(fake.driver(kControlReceive).Writable(size));
    fake.driver(kControlReceive).Add({buffers.back()});
    fake.Kick(kControlReceive);
  }
  // "ID EVENT VALUE NAME" of the next message; "" if there is none.
  std::string Told() {
    const auto used = fake.driver(kControlReceive).TakeUsed();
    if (!used) return "";
    const FakeBuffer buffer = buffers.front();
    buffers.pop_front();
    if (used->written == 0) return "nothing";
    const std::string message(fake.ram().Text(buffer.address, used->written));
    const auto* const bytes = reinterpret_cast<const uint8_t*>(message.data());
    return fmt::format("{} {} {} {}", LoadLe<uint32_t>(bytes), LoadLe<uint16_t>(bytes + 4),
                       LoadLe<uint16_t>(bytes + 6), message.substr(8));
  }

  std::string printed, said;
  std::unique_ptr<VirtioConsole> console =
      *VirtioConsole::Create({.console = To(&printed), .agent = To(&said)});
  FakeVirtio fake{console.get()};
  std::deque<FakeBuffer> buffers;
};

// 5.3.6.2: "When the driver is ready, the device sends VIRTIO_CONSOLE_PORT_ADD for each port".
TEST_F(ConsoleAgent, ADriverIsToldOfThePortsAndWhatTheyAre) {
  ASSERT_TRUE(fake.Activate(kMultiport));
  for (int i = 0; i < 8; ++i) GiveBuffer();
  EXPECT_EQ(Told(), "");
  Tell(0xffffffff, kDeviceReady, 1);
  EXPECT_EQ(Told(), "0 1 1 ");
  EXPECT_EQ(Told(), "1 1 1 ");
  EXPECT_EQ(Told(), "");
  Tell(0, kPortReady, 1);
  EXPECT_EQ(Told(), "0 4 1 ");
  EXPECT_EQ(Told(), "0 6 1 ");
  Tell(1, kPortReady, 1);
  EXPECT_EQ(Told(), "1 7 1 org.qemu.guest_agent.0");
  EXPECT_EQ(Told(), "1 6 1 ");
  EXPECT_EQ(Told(), "");
}

TEST_F(ConsoleAgent, BytesGoBothWaysBesideTheConsole) {
  ASSERT_TRUE(fake.Activate(kMultiport));
  fake.driver(kAgentTransmit).Add({fake.driver(kAgentTransmit).Readable("{}\n")});
  fake.Kick(kAgentTransmit);
  fake.driver(kConsoleTransmit).Add({fake.driver(kConsoleTransmit).Readable("login:")});
  fake.Kick(kConsoleTransmit);
  EXPECT_EQ(said, "{}\n");
  EXPECT_EQ(printed, "login:");
  EXPECT_EQ(console->AgentInput(Bytes("ping")), 4u);
  const FakeBuffer buffer = fake.driver(kAgentReceive).Writable(16);
  fake.driver(kAgentReceive).Add({buffer});
  fake.Kick(kAgentReceive);
  ASSERT_EQ(fake.driver(kAgentReceive).TakeUsed()->written, 4u);
  EXPECT_EQ(fake.ram().Text(buffer.address, 4), "ping");
}

TEST_F(ConsoleAgent, WhatFindsNoRoomStaysWithTheGuest) {
  ASSERT_TRUE(fake.Activate(kMultiport));
  console->HoldAgentOutput(true);
  for (const char* text : {"one ", "two "}) {
    fake.driver(kAgentTransmit).Add({fake.driver(kAgentTransmit).Readable(text)});
    fake.ForceKick(kAgentTransmit);
  }
  EXPECT_EQ(said, "");
  EXPECT_FALSE(fake.driver(kAgentTransmit).TakeUsed());
  console->HoldAgentOutput(false);
  fake.Turn();
  EXPECT_EQ(said, "one two ");
  console->HoldAgentOutput(true);
  fake.Reset();
  ASSERT_TRUE(fake.Activate(kMultiport));
  fake.driver(kAgentTransmit).Add({fake.driver(kAgentTransmit).Readable("three")});
  fake.Kick(kAgentTransmit);
  EXPECT_EQ(said, "one two ") << "also after a reset";
}

TEST_F(ConsoleAgent, ThePortIsOpenWhileTheGuestSaysSo) {
  ASSERT_TRUE(fake.Activate(kMultiport));
  EXPECT_FALSE(console->agent_open());
  Tell(0, kOpen, 1);
  EXPECT_FALSE(console->agent_open());
  Tell(1, kOpen, 1);
  EXPECT_TRUE(console->agent_open());
  Tell(1, kOpen, 0);
  EXPECT_FALSE(console->agent_open());
  Tell(1, kOpen, 1);
  fake.Reset();
  EXPECT_FALSE(console->agent_open());
}

TEST_F(ConsoleAgent, HoweverOftenADriverAsksItIsToldOnceItTakesIt) {
  ASSERT_TRUE(fake.Activate(kMultiport));
  for (int i = 0; i < 1000; ++i) Tell(0, kDeviceReady, 1);
  for (int i = 0; i < 4; ++i) GiveBuffer();
  EXPECT_EQ(Told(), "0 1 1 ");
  EXPECT_EQ(Told(), "1 1 1 ");
  EXPECT_EQ(Told(), "");
}

TEST_F(ConsoleAgent, ABufferThatIsTooSmallIsGivenBackAndTheNextIsUsed) {
  ASSERT_TRUE(fake.Activate(kMultiport));
  Tell(1, kPortReady, 1);
  GiveBuffer(29);  // One byte less than the message with the name.
  EXPECT_EQ(Told(), "nothing");
  GiveBuffer(30);
  EXPECT_EQ(Told(), "1 7 1 org.qemu.guest_agent.0");
}

TEST_F(ConsoleAgent, WhatMakesNoSenseIsLeftOut) {
  ASSERT_TRUE(fake.Activate(kMultiport));
  for (int i = 0; i < 4; ++i) GiveBuffer();
  Tell(2, kPortReady, 1);
  Tell(0xffffffff, kOpen, 1);
  Tell(1, kPortReady, 0);
  Tell(1, 500, 1);
  fake.driver(kControlTransmit).Add({fake.driver(kControlTransmit).Readable("short")});
  fake.Kick(kControlTransmit);
  EXPECT_TRUE(fake.driver(kControlTransmit).TakeUsed());
  EXPECT_EQ(Told(), "");
  EXPECT_FALSE(console->agent_open());
}

TEST_F(ConsoleAgent, ADriverThatKnowsOfOnePortOnlyHasTheConsole) {
  ASSERT_TRUE(fake.Activate(0));
  fake.driver(kConsoleTransmit).Add({fake.driver(kConsoleTransmit).Readable("login:")});
  fake.Kick(kConsoleTransmit);
  EXPECT_EQ(printed, "login:");
  fake.driver(kAgentTransmit).Add({fake.driver(kAgentTransmit).Readable("{}\n")});
  fake.ForceKick(kAgentTransmit);
  EXPECT_EQ(said, "");
}

TEST_F(ConsoleAgent, ABrokenControlQueueAsksForAReset) {
  ASSERT_TRUE(fake.Activate(kMultiport));
  static_cast<FakeSplitDriver&>(fake.driver(kControlReceive)).SetAvailableIndex(1000);
  Tell(0, kDeviceReady, 1);
  Tell(0, kDeviceReady, 1);
  EXPECT_EQ(fake.transport().needs_reset.size(), 1u);
  fake.Reset();
  EXPECT_TRUE(fake.Activate(kMultiport));
}

TEST(ConsoleAgentAlone, APortZeroThatNobodyWantsIsNotOffered) {
  auto console = *VirtioConsole::Create({.console = {}, .agent = [](std::span<const uint8_t>) {}});
  FakeVirtio fake(console.get());
  EXPECT_EQ(console->features(), kMultiport);
  ASSERT_TRUE(fake.Activate(kMultiport));
  const FakeBuffer first = fake.driver(kControlReceive).Writable(64);
  fake.driver(kControlReceive).Add({first});
  fake.driver(kControlTransmit)
      .Add({fake.driver(kControlTransmit).Readable({"\xff\xff\xff\xff\0\0\1\0", 8})});
  fake.Kick(kControlTransmit);
  ASSERT_EQ(fake.driver(kControlReceive).TakeUsed()->written, 8u);
  EXPECT_EQ(fake.ram().Text(first.address, 8), std::string("\1\0\0\0\1\0\1\0", 8));
  const uint8_t word[] = {'!', 0, 0, 0};
  console->WriteConfig(8, word);
}

}  // namespace
}  // namespace berth::hw
