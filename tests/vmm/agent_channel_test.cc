#include "vmm/agent_channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include <gtest/gtest.h>

namespace berth::vmm {
namespace {

// A guest that takes as many bytes as there is room, and who talks with its agent.
class AgentChannelTest : public testing::Test {
 protected:
  void Connect() {
    channel.Connect({.input =
                         [this](std::span<const uint8_t> bytes) {
                           const size_t taken = std::min(bytes.size(), room - heard.size());
                           heard.append(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
                           return taken;
                         },
                     .is_open = [this] { return open; },
                     .hold = [this](bool hold) { held = hold; }});
  }
  Result<UniqueFd> Attach() {
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    UniqueFd ours(pair[0]);
    TRY(channel.Attach(UniqueFd(pair[1])));
    return ours;
  }
  void Say(std::string_view text) {
    channel.Output({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  void Turn() {
    loop->Post([this] { loop->Stop(); });
    loop->Run();
  }
  // Until it has ended, which takes some turns; or for now.
  std::string ReadAll(int fd) {
    std::string all;
    char buffer[4096];
    for (ssize_t got; (got = ::read(fd, buffer, sizeof(buffer))) > 0; Turn())
      all.append(buffer, static_cast<size_t>(got));
    return all;
  }

  std::unique_ptr<EventLoop> loop = *EventLoop::Create();
  AgentChannel channel{loop.get()};
  bool open = true, held = false;
  size_t room = 1 << 20;
  std::string heard;
};

TEST_F(AgentChannelTest, BytesGoBothWays) {
  Connect();
  const UniqueFd user = *Attach();
  ASSERT_EQ(::write(user.get(), "{}\n", 3), 3);
  Turn();
  EXPECT_EQ(heard, "{}\n");
  Say("{\"return\": 1}\n");
  EXPECT_EQ(ReadAll(user.get()), "{\"return\": 1}\n");
}

TEST_F(AgentChannelTest, WithoutAPortOrSomebodyAtItThereIsNothingToTalkTo) {
  EXPECT_EQ(Attach().error().reason(), "NO_AGENT_PORT");
  Connect();
  open = false;
  EXPECT_EQ(Attach().error().reason(), "AGENT_NOT_RUNNING");
  open = true;
  EXPECT_TRUE(Attach());
}

TEST_F(AgentChannelTest, WhatNobodyIsThereToHearIsDropped) {
  Connect();
  Say("early");
  const UniqueFd user = *Attach();
  Say("late");
  EXPECT_EQ(ReadAll(user.get()), "late");
  EXPECT_FALSE(held);
}

TEST_F(AgentChannelTest, AUserThatDoesNotReadHoldsUpTheGuest) {
  Connect();
  const UniqueFd user = *Attach();
  size_t said = 0;
  for (; !held && said < (64 << 20); said += 1000) Say(std::string(1000, 'x'));
  EXPECT_TRUE(held);
  EXPECT_EQ(ReadAll(user.get()).size(), said);
  EXPECT_FALSE(held);
}

TEST_F(AgentChannelTest, AGuestThatDoesNotReadHoldsUpTheUser) {
  Connect();
  room = 3;
  const UniqueFd user = *Attach();
  size_t sent = 0;
  for (ssize_t count; (count = ::write(user.get(), "123456789", 9)) > 0; Turn())
    sent += static_cast<size_t>(count);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(heard, "123");
  room = sent;
  for (int turns = 0; heard.size() < sent && turns < 1'000'000; ++turns) Turn();
  EXPECT_EQ(heard.size(), sent);
}

TEST_F(AgentChannelTest, TheNextUserTakesThePlaceOfTheOneBefore) {
  Connect();
  const UniqueFd first = *Attach();
  while (!held) Say(std::string(1000, 'x'));
  const UniqueFd second = *Attach();
  EXPECT_FALSE(held);
  Say("for the second");
  EXPECT_EQ(ReadAll(second.get()), "for the second");
  ReadAll(first.get());
  char byte;
  EXPECT_EQ(::read(first.get(), &byte, 1), 0) << "its stream has ended";
}

TEST_F(AgentChannelTest, AUserThatLeavesLeavesThePortToTheNext) {
  Connect();
  room = 0;
  {
    const UniqueFd gone = *Attach();
    ASSERT_EQ(::write(gone.get(), "unread", 6), 6);
    Turn();
  }
  Turn();
  Say("dropped");
  room = 100;
  const UniqueFd next = *Attach();
  ASSERT_EQ(::write(next.get(), "next", 4), 4);
  Turn();
  EXPECT_EQ(heard, "next");
  Say("answer");
  EXPECT_EQ(ReadAll(next.get()), "answer");
}

}  // namespace
}  // namespace berth::vmm
