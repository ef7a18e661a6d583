#include "hw/virtio/console.h"

#include <numeric>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_virtio.h"

namespace berth::hw {
namespace {

constexpr unsigned kReceive = 0, kTransmit = 1;

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class ConsoleTest : public testing::TestWithParam<uint64_t> {
 protected:
  void Activate() { ASSERT_TRUE(fake.Activate(GetParam())); }

  std::string printed;
  std::unique_ptr<VirtioConsole> console =
      *VirtioConsole::Create({.console =
                                  [this](std::span<const uint8_t> bytes) {
                                    printed.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                                  },
                              .agent = {}});
  FakeVirtio fake{console.get()};
};

TEST_P(ConsoleTest, PrintsWhatTheDriverSends) {
  Activate();
  fake.driver(kTransmit).Add(
      {fake.driver(kTransmit).Readable("hello "), fake.driver(kTransmit).Readable("world")});
  fake.Kick(kTransmit);
  EXPECT_EQ(printed, "hello world");
  EXPECT_TRUE(fake.driver(kTransmit).TakeUsed());
  EXPECT_EQ(fake.TakeInterrupts(kTransmit), 1u);
}

TEST_P(ConsoleTest, TypedBytesWaitForBuffers) {
  Activate();
  EXPECT_EQ(console->Input(Bytes("root\n")), 5u);
  fake.Turn();
  const FakeBuffer small = fake.driver(kReceive).Writable(2), large = fake.driver(kReceive).Writable(64);
  fake.driver(kReceive).Add({small});
  fake.driver(kReceive).Add({large});
  fake.Kick(kReceive);
  EXPECT_EQ(fake.driver(kReceive).TakeUsed()->written, 2u);
  EXPECT_EQ(fake.driver(kReceive).TakeUsed()->written, 3u);
  EXPECT_EQ(fake.ram().Text(small.address, 2), "ro");
  EXPECT_EQ(fake.ram().Text(large.address, 3), "ot\n");
}

TEST_P(ConsoleTest, BuffersWaitForTypedBytes) {
  Activate();
  for (int round = 0; round < 100; ++round) {
    const FakeBuffer buffer = fake.driver(kReceive).Writable(16);
    fake.driver(kReceive).EnableInterrupts();
    fake.driver(kReceive).Add({buffer});
    EXPECT_TRUE(fake.driver(kReceive).KickWanted()) << "round " << round;
    fake.Turn();
    EXPECT_EQ(fake.driver(kReceive).TakeUsed(), std::nullopt);
    console->Input(Bytes("x"));
    fake.Turn();
    EXPECT_EQ(fake.driver(kReceive).TakeUsed()->written, 1u) << "round " << round;
    EXPECT_EQ(fake.TakeInterrupts(kReceive), 1u);
  }
}

TEST_P(ConsoleTest, InputIsBounded) {
  Activate();
  const std::vector<uint8_t> much(3 * VirtioConsole::kMaxInputBytes, 'a');
  EXPECT_EQ(console->Input(much), VirtioConsole::kMaxInputBytes);
  EXPECT_EQ(console->Input(much), 0u);
  fake.driver(kReceive).Add({fake.driver(kReceive).Writable(100)});
  fake.Kick(kReceive);
  fake.Turn();
  EXPECT_EQ(console->Input(much), 100u);
}

TEST_P(ConsoleTest, AChainPrintsABoundedNumberOfBytes) {
  Activate();
  const FakeBuffer page = fake.driver(kTransmit).Readable(std::string(60'000, 'x'));
  fake.driver(kTransmit).Add({page, page, page});
  fake.Kick(kTransmit);
  EXPECT_EQ(printed.size(), 64u * 1024);
}

TEST_P(ConsoleTest, BadAddressesAreGivenBack) {
  Activate();
  fake.driver(kTransmit).Add({{1ull << 40, 10, false}, fake.driver(kTransmit).Readable("after")});
  fake.Kick(kTransmit);
  EXPECT_TRUE(fake.driver(kTransmit).TakeUsed());
  EXPECT_EQ(printed, "");
  console->Input(Bytes("x"));
  fake.driver(kReceive).Add({{1ull << 40, 10, true}});
  fake.driver(kReceive).Add({fake.driver(kReceive).Readable("not writable")});
  const FakeBuffer good = fake.driver(kReceive).Writable(1);
  fake.driver(kReceive).Add({good});
  fake.Kick(kReceive);
  EXPECT_EQ(fake.driver(kReceive).TakeUsed()->written, 0u);
  EXPECT_EQ(fake.driver(kReceive).TakeUsed()->written, 0u);
  EXPECT_EQ(fake.driver(kReceive).TakeUsed()->written, 1u);
  EXPECT_EQ(fake.ram().Text(good.address, 1), "x");
}

TEST_P(ConsoleTest, ResetDropsWhatWasTypedAndMayBeActivatedAgain) {
  Activate();
  console->Input(Bytes("old"));
  fake.Reset();
  Activate();
  console->Input(Bytes("new"));
  const FakeBuffer buffer = fake.driver(kReceive).Writable(16);
  fake.driver(kReceive).Add({buffer});
  fake.Kick(kReceive);
  ASSERT_EQ(fake.driver(kReceive).TakeUsed()->written, 3u);
  EXPECT_EQ(fake.ram().Text(buffer.address, 3), "new");
}

TEST_P(ConsoleTest, TypingFromAnotherThreadArrivesWhole) {
  Activate();
  std::thread typist([this] {
    for (int i = 0; i < 1000; ++i) {
      const auto byte = static_cast<uint8_t>(i);
      while (console->Input({&byte, 1}) == 0) std::this_thread::yield();
    }
  });
  std::string read;
  const FakeBuffer buffer = fake.driver(kReceive).Writable(7);
  fake.driver(kReceive).Add({buffer});
  EXPECT_TRUE(fake.TurnUntil([&] {
    fake.Kick(kReceive);
    if (const auto used = fake.driver(kReceive).TakeUsed()) {
      read += fake.ram().Text(buffer.address, used->written);
      fake.driver(kReceive).Add({buffer});
    }
    return read.size() == 1000;
  }));
  typist.join();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(static_cast<uint8_t>(read[i]), static_cast<uint8_t>(i));
}

TEST_P(ConsoleTest, EmergencyWritesNeedNoDriver) {
  const uint8_t word[] = {'!', 0, 0, 0};
  console->WriteConfig(8, word);
  EXPECT_EQ(printed, "!");
  console->WriteConfig(4, word);
  console->WriteConfig(0xffffffff, word);
  EXPECT_EQ(printed, "!");
}

TEST_P(ConsoleTest, HasOnePort) {
  uint8_t config[16];
  console->ReadConfig(0, config);
  EXPECT_THAT(config, testing::ElementsAre(0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
}

std::string Name(const testing::TestParamInfo<uint64_t>& info) {
  return std::string(info.param & kVirtioRingPacked ? "Packed" : "Split") +
         (info.param & kVirtioRingEventIdx ? "EventIndex" : "");
}

INSTANTIATE_TEST_SUITE_P(Rings, ConsoleTest,
                         testing::Values(0, kVirtioRingEventIdx, kVirtioRingPacked | kVirtioRingEventIdx),
                         Name);

TEST(ConsoleLies, ABrokenQueueStopsAndAsksForAReset) {
  auto console = *VirtioConsole::Create({.console = [](std::span<const uint8_t>) {}, .agent = {}});
  FakeVirtio fake(console.get());
  ASSERT_TRUE(fake.Activate());
  static_cast<FakeSplitDriver&>(fake.driver(kReceive)).SetAvailableIndex(1000);
  console->Input(Bytes("x"));
  fake.Turn();
  console->Input(Bytes("y"));
  fake.ForceKick(kReceive);
  EXPECT_EQ(fake.transport().needs_reset.size(), 1u);
  fake.Reset();
  EXPECT_TRUE(fake.Activate());
}

}  // namespace
}  // namespace berth::hw
