#include "vmm/console.h"

#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace berth::vmm {
namespace {

struct Fixture {
  explicit Fixture(size_t input_room = 1000)
      : loop(*EventLoop::Create()),
        console(*Console::Create(loop.get(), UniqueFd(),
                                 [this](std::span<const uint8_t> typed) {
                                   const size_t taken = std::min(typed.size(), room - input.size());
                                   input.append(typed.begin(), typed.begin() + static_cast<ptrdiff_t>(taken));
                                   return taken;
                                 })),
        room(input_room) {}

  UniqueFd Attach() {
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    EXPECT_TRUE(console->Attach(UniqueFd(pair[1])));
    return UniqueFd(pair[0]);
  }
  void Print(std::string_view text) {
    console->Output({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  void Turn() {
    loop->At(EventLoop::Clock::now() + std::chrono::milliseconds(30), [this] { loop->Stop(); });
    loop->Run();
  }
  static std::string ReadAll(int fd) {
    std::string all;
    char buffer[4096];
    for (ssize_t got; (got = ::read(fd, buffer, sizeof(buffer))) > 0;)
      all.append(buffer, static_cast<size_t>(got));
    return all;
  }

  std::unique_ptr<EventLoop> loop;
  std::string input;
  std::unique_ptr<Console> console;
  size_t room;
};

TEST(Console, ALateClientGetsTheHistoryFirst) {
  Fixture fixture;
  fixture.Print("early ");
  fixture.Turn();
  const UniqueFd client = fixture.Attach();
  fixture.Print("late");
  fixture.Turn();
  EXPECT_EQ(Fixture::ReadAll(client.get()), "early late");
}

TEST(Console, ClientsSeeTheSame) {
  Fixture fixture;
  const UniqueFd first = fixture.Attach(), second = fixture.Attach();
  fixture.Print("x");
  fixture.Turn();
  EXPECT_EQ(Fixture::ReadAll(first.get()), "x");
  EXPECT_EQ(Fixture::ReadAll(second.get()), "x");
}

TEST(Console, AClientThatDoesNotReadHoldsNobodyUp) {
  Fixture fixture;
  const UniqueFd stuck = fixture.Attach();
  for (int i = 0; i < 100; ++i) {
    fixture.Print(std::string(32 * 1024, 'a'));
    fixture.console->Output({});
    fixture.loop->Post([&] { fixture.loop->Stop(); });
    fixture.loop->Run();
  }
  const UniqueFd late = fixture.Attach();
  fixture.Turn();
  EXPECT_EQ(Fixture::ReadAll(late.get()).size(), Console::kHistoryBytes);
}

TEST(Console, TypingWaitsUntilTheGuestTakesIt) {
  Fixture fixture(3);
  const UniqueFd client = fixture.Attach();
  ASSERT_EQ(::write(client.get(), "hello", 5), 5);
  fixture.Turn();
  EXPECT_EQ(fixture.input, "hel");
  fixture.room = 100;
  fixture.Turn();
  EXPECT_EQ(fixture.input, "hello");
}

TEST(Console, TakesOnlySoManyClients) {
  Fixture fixture;
  std::vector<UniqueFd> clients;
  for (size_t i = 0; i < Console::kMaxClients; ++i) clients.push_back(fixture.Attach());
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd ours(pair[0]);
  EXPECT_EQ(fixture.console->Attach(UniqueFd(pair[1])).error().code(), Code::kResourceExhausted);
}

TEST(Console, AClientThatLeavesMakesRoom) {
  Fixture fixture;
  for (size_t i = 0; i < 3 * Console::kMaxClients; ++i) {
    { const UniqueFd gone = fixture.Attach(); }
    fixture.Turn();
  }
}

}  // namespace
}  // namespace berth::vmm
