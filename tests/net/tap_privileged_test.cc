// Taps of the kernel, in a network namespace of the test's own: needs root, or user namespaces, and
// /dev/net/tun.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>

#include <gtest/gtest.h>
#include <net/if.h>

#include "net/tap.h"
#include "tests/fakes/tap_namespace.h"

namespace berth::net {
namespace {

struct PrivilegedTap : testing::Test {
  static void SetUpTestSuite() { entered = EnterNetworkNamespace(); }
  void SetUp() override {
    if (!*entered) GTEST_SKIP() << entered->error().message();
    if (::access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "/dev/net/tun is not there";
  }
  static std::optional<Status> entered;
};
std::optional<Status> PrivilegedTap::entered;

// A broadcast frame of this size, of an experimental type.
std::string Frame(size_t size) {
  std::string frame = std::string(6, '\xff') + std::string("\x52\x54\x00\x01\x02\x03\x88\xb5", 8);
  frame.resize(size, 'f');
  return frame;
}

// The next frame of the experimental type; the kernel says things of its own on a new interface.
template <typename Read>
std::string Next(int fd, Read read) {
  for (int tries = 0; tries < 100; ++tries) {
    const std::string frame = read();
    if (frame.size() >= 14 && frame.substr(12, 2) == "\x88\xb5") return frame;
    pollfd ready{fd, POLLIN, 0};
    if (frame.empty() && ::poll(&ready, 1, 10'000) <= 0) break;
  }
  return "";
}

std::string ReadSocket(int fd) {
  return Next(fd, [fd] {
    std::string frame(70'000, '\0');
    const ssize_t size = ::read(fd, frame.data(), frame.size());
    frame.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return frame;
  });
}

std::string ReceiveFrom(PacketQueue* queue) {
  return Next(queue->fd(), [queue] {
    std::string packet(70'000, '\0');
    const iovec piece{packet.data(), packet.size()};
    const ssize_t size = queue->Receive({&piece, 1});
    return size < static_cast<ssize_t>(kVnetHeaderSize)
               ? std::string()
               : packet.substr(kVnetHeaderSize, static_cast<size_t>(size) - kVnetHeaderSize);
  });
}

ssize_t SendTo(PacketQueue* queue, std::string packet) {
  const iovec piece{packet.data(), packet.size()};
  return queue->Send({&piece, 1});
}

TEST_F(PrivilegedTap, FramesPassBothWays) {
  auto tap = OpenTap(*CreateTap("tap0", 1, IFF_VNET_HDR));
  ASSERT_TRUE(tap) << tap.error().message();
  ASSERT_EQ(tap->queues.size(), 1u);
  EXPECT_TRUE(tap->offloads.tso4);
  const UniqueFd host = *OpenPacketSocket("tap0");
  PacketQueue* const queue = tap->queues[0].get();
  EXPECT_GT(SendTo(queue, std::string(kVnetHeaderSize, '\0') + Frame(60)), 0);
  EXPECT_EQ(ReadSocket(host.get()), Frame(60));
  ASSERT_EQ(::write(host.get(), Frame(200).data(), 200), 200);
  EXPECT_EQ(ReceiveFrom(queue), Frame(200));
}

TEST_F(PrivilegedTap, NothingToReceiveIsSaidAtOnce) {
  auto tap = *OpenTap(*CreateTap("tap0", 1, IFF_VNET_HDR));
  char byte;
  const iovec piece{&byte, 1};
  ssize_t size = 0;
  while ((size = tap.queues[0]->Receive({&piece, 1})) >= 0 || size == -EINVAL) {
  }
  EXPECT_EQ(size, -EAGAIN);
}

TEST_F(PrivilegedTap, HeadersThatMakeNoSenseAreRefused) {
  auto tap = *OpenTap(*CreateTap("tap0", 1, IFF_VNET_HDR));
  std::string header(kVnetHeaderSize, '\0');
  header[1] = 77;  // gso_type
  EXPECT_EQ(SendTo(tap.queues[0].get(), header + Frame(60)), -EINVAL);
  EXPECT_EQ(SendTo(tap.queues[0].get(), "short"), -EINVAL);
}

// The kernel detaches a queue that is attached, and no other.
bool DetachByHand(int fd) {
  ifreq request{};
  request.ifr_flags = IFF_DETACH_QUEUE;
  return ::ioctl(fd, TUNSETQUEUE, &request) == 0;
}

TEST_F(PrivilegedTap, AllQueuesButTheFirstBeginDetached) {
  auto tap = OpenTap(*CreateTap("tap0", 3, IFF_VNET_HDR | IFF_MULTI_QUEUE));
  ASSERT_TRUE(tap) << tap.error().message();
  EXPECT_FALSE(DetachByHand(tap->queues[1]->fd()));
  EXPECT_FALSE(DetachByHand(tap->queues[2]->fd()));
  ASSERT_TRUE(tap->queues[1]->SetEnabled(true));
  ASSERT_TRUE(tap->queues[1]->SetEnabled(true));  // It is already.
  ASSERT_TRUE(tap->queues[1]->SetEnabled(false));
  EXPECT_FALSE(DetachByHand(tap->queues[1]->fd()));
  ASSERT_TRUE(tap->queues[1]->SetEnabled(true));
  EXPECT_TRUE(DetachByHand(tap->queues[1]->fd()));
}

TEST_F(PrivilegedTap, WhatIsNoTapForUsIsRefused) {
  EXPECT_EQ(OpenTap(*CreateTap("tap0", 1, 0)).error().code(), Code::kInvalidArgument);  // No header.
  std::vector<UniqueFd> unattached;
  unattached.push_back(*Open("/dev/net/tun", O_RDWR));
  EXPECT_EQ(OpenTap(std::move(unattached)).error().code(), Code::kInvalidArgument);
  auto two = *CreateTap("tap1", 1, IFF_VNET_HDR | IFF_MULTI_QUEUE);
  two.push_back(std::move(CreateTap("tap2", 1, IFF_VNET_HDR | IFF_MULTI_QUEUE)->front()));
  EXPECT_EQ(OpenTap(std::move(two)).error().code(), Code::kInvalidArgument);  // Two interfaces.
  auto single = *CreateTap("tap3", 1, IFF_VNET_HDR);
  single.push_back(*Duplicate(single[0].get()));
  EXPECT_EQ(OpenTap(std::move(single)).error().code(), Code::kInvalidArgument);  // No queues.
}

}  // namespace
}  // namespace berth::net
