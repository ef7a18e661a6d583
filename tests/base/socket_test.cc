#include "base/socket.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(Socket, CarriesBytesAndDescriptors) {
  auto [a, b] = *CreateSocketPair();
  const UniqueFd event = *CreateEventFd();
  ASSERT_TRUE(SendMessage(a.get(), "hello", {event.get(), event.get()}));
  Result<Message> message = ReceiveMessage(b.get());
  ASSERT_TRUE(message);
  EXPECT_EQ(message->bytes, "hello");
  ASSERT_EQ(message->fds.size(), 2u);
  SignalEventFd(message->fds[1].get());
  EXPECT_EQ(DrainEventFd(event.get()), 1u);
}

TEST(Socket, AClosedPeerIsUnavailable) {
  auto [a, b] = *CreateSocketPair();
  b.Reset();
  EXPECT_EQ(SendMessage(a.get(), "x").error().code(), Code::kUnavailable);
  EXPECT_EQ(ReceiveMessage(a.get()).error().code(), Code::kUnavailable);
}

TEST(Socket, AMessageOverTheLimitIsRefused) {
  auto [a, b] = *CreateSocketPair();
  EXPECT_EQ(SendMessage(a.get(), std::string(kMaxMessageBytes + 1, 'x')).error().code(),
            Code::kResourceExhausted);
}

TEST(Socket, ListensForItsOwnerAlone) {
  char path[] = "/tmp/berth-socket-XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  const std::string socket_path = std::string(path) + "/s";
  const UniqueFd listener = *ListenAt(socket_path);
  struct stat info {};
  ASSERT_EQ(::stat(socket_path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const UniqueFd client = *ConnectTo(socket_path);
  const UniqueFd server = *Accept(listener.get());
  ASSERT_TRUE(SendMessage(client.get(), "ping"));
  EXPECT_EQ(ReceiveMessage(server.get())->bytes, "ping");
  ::unlink(socket_path.c_str());
  ::rmdir(path);
}

TEST(Socket, APathTooLongForAnAddressIsRefused) {
  EXPECT_EQ(ListenAt("/tmp/" + std::string(200, 'x')).error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace berth
