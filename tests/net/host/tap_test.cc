// Real taps and bridges, in a network namespace of this process's own.
#include "net/host/tap.h"

#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netlink/route/link.h>

#include "host/control/record.h"
#include "net/host/link.h"
#include "net/host/netlink.h"
#include "net/host/vf.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::net {
namespace {

using ::testing::HasSubstr;

// As root a network namespace is enough; anybody else needs a user namespace around it.
std::string EnterNamespace() {
  static const std::string problem = [] {
    const uid_t uid = ::getuid();
    if (::unshare(CLONE_NEWNET) == 0) return std::string();
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
      return fmt::format("no namespace: {}", std::strerror(errno));
    std::ofstream("/proc/self/uid_map") << fmt::format("0 {} 1", uid);
    return std::string();
  }();
  return problem;
}

int MakeBridge(const char* name, uint32_t mtu) {
  const NetlinkSocket socket = OpenRtnetlink().value();
  const std::unique_ptr<rtnl_link, void (*)(rtnl_link*)> link(::rtnl_link_alloc(), ::rtnl_link_put);
  ::rtnl_link_set_type(link.get(), "bridge");
  ::rtnl_link_set_name(link.get(), name);
  ::rtnl_link_set_mtu(link.get(), mtu);
  return ::rtnl_link_add(socket.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL);
}

class TapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string problem = EnterNamespace(); !problem.empty()) GTEST_SKIP() << problem;
    if (::access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/net/tun";
    const int error = MakeBridge("br0", 9000);
    if (error == -NLE_OPNOTSUPP) GTEST_SKIP() << "no bridges in this kernel";
    ASSERT_EQ(error, 0);
  }
  void TearDown() override {
    const auto bridge = FindLink("br0");
    EXPECT_TRUE(!bridge || DeleteLink(bridge->index));
  }

  const host::HostRoots roots_{};
};

TEST_F(TapTest, IsMadeOnItsBridgeAndUp) {
  const TapChange change = PlanTap(roots_, "guest/nic0", "br0").value();
  EXPECT_EQ(change.mtu, 9000u);  // The bridge's.
  const Tap tap = CreateTap(roots_, change).value();
  ASSERT_EQ(tap.queues.size(), 1u);
  const Link link = FindLink(tap.name).value();
  EXPECT_EQ(link.index, tap.interface_index);
  EXPECT_EQ(link.kind, "tun");
  EXPECT_EQ(link.alias, "guest/nic0");
  EXPECT_EQ(link.master, FindLink("br0")->index);
  EXPECT_EQ(link.mtu, 9000u);
  EXPECT_TRUE(link.up);
  EXPECT_EQ(link.mac.bytes[0], 0xfe);  // The bridge never takes it for its own.
  ifreq request{};
  ASSERT_EQ(::ioctl(tap.queues[0].get(), TUNGETIFF, &request), 0);
  EXPECT_EQ(request.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE | IFF_PERSIST),
            IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
}

TEST_F(TapTest, HasAsManyQueuesAsAskedFor) {
  const Tap tap = CreateTap(roots_, PlanTap(roots_, "guest/nic0", "", 4, 1400).value()).value();
  EXPECT_EQ(tap.queues.size(), 4u);
  EXPECT_EQ(tap.mtu, 1400u);
  EXPECT_EQ(FindLink(tap.name)->master, 0);
}

TEST_F(TapTest, GoesWithItsLastQueue) {
  std::string name;
  {
    const Tap tap = CreateTap(roots_, PlanTap(roots_, "guest/nic0", "br0", 2).value()).value();
    name = tap.name;
  }
  EXPECT_EQ(FindLink(name).error().reason(), "INTERFACE_NOT_FOUND");
}

TEST_F(TapTest, IsRemovedByItsRecordAndOnlyIfItIsOurs) {
  const TapChange change =
      host::Decode<TapChange>(host::Encode(PlanTap(roots_, "guest/nic0", "br0").value())).value();
  const Tap tap = CreateTap(roots_, change).value();
  TapChange other = change;
  other.owner = "another/nic0";
  ASSERT_TRUE(RemoveTap(other));
  EXPECT_TRUE(FindLink(tap.name));
  ASSERT_TRUE(RemoveTap(change));
  EXPECT_FALSE(FindLink(tap.name));
  EXPECT_TRUE(RemoveTap(change));
}

TEST_F(TapTest, NeverJoinsAnInterfaceThatIsThere) {
  const TapChange change = PlanTap(roots_, "guest/nic0", "", 2).value();
  const Tap tap = CreateTap(roots_, change).value();
  const auto again = PlanTap(roots_, "guest/nic0", "", 2);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kAlreadyExists);
  EXPECT_EQ(again.error().reason(), "TAP_EXISTS");
  const auto stolen = CreateTap(roots_, change);
  ASSERT_FALSE(stolen);
  EXPECT_EQ(stolen.error().code(), Code::kFailedPrecondition);  // EBUSY
}

// Left to itself a bridge takes its address from its ports, and has none when the last goes.
TEST_F(TapTest, LeavesTheBridgeItsAddress) {
  const MacAddress mac = FindLink("br0")->mac;
  const TapChange change = PlanTap(roots_, "guest/nic0", "br0").value();
  const Tap tap = CreateTap(roots_, change).value();
  EXPECT_EQ(FindLink("br0")->mac, mac);
  ASSERT_TRUE(RemoveTap(change));
  EXPECT_EQ(FindLink("br0")->mac, mac);
}

TEST_F(TapTest, LeavesNothingWhenABridgeIsGone) {
  const TapChange change = PlanTap(roots_, "guest/nic0", "br0").value();
  ASSERT_TRUE(DeleteLink(FindLink("br0")->index));
  EXPECT_EQ(CreateTap(roots_, change).error().reason(), "BRIDGE_NOT_FOUND");
  EXPECT_FALSE(FindLink(change.name));
}

TEST_F(TapTest, PlanRefusesWhatCannotBe) {
  const auto reason = [&](const std::string& owner, const std::string& bridge, int queues, uint32_t mtu) {
    const auto change = PlanTap(roots_, owner, bridge, queues, mtu);
    return change ? "" : change.error().reason();
  };
  EXPECT_EQ(reason("g", "br1", 1, 0), "BRIDGE_NOT_FOUND");
  EXPECT_EQ(reason("g", "lo", 1, 0), "NOT_A_BRIDGE");
  EXPECT_EQ(reason("g", "a-name-that-is-too-long", 1, 0), "BRIDGE_NOT_FOUND");
  EXPECT_EQ(reason("g", "br0", 0, 0), "BAD_TAP_QUEUES");
  EXPECT_EQ(reason("g", "br0", 257, 0), "BAD_TAP_QUEUES");
  EXPECT_EQ(reason("g", "br0", 1, 67), "BAD_MTU");
  EXPECT_EQ(reason("", "br0", 1, 0), "BAD_TAP_OWNER");
  const auto nowhere = PlanTap(host::HostRoots::At("/nonexistent"), "g", "br0");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().reason(), "TUN_NOT_AVAILABLE");
  EXPECT_THAT(nowhere.error().message(), HasSubstr("modprobe tun"));
}

TEST_F(TapTest, LinksChangeOnlyWhatIsAsked) {
  const Tap tap = CreateTap(roots_, PlanTap(roots_, "guest/nic0", "", 1, 1500).value()).value();
  const Link before = FindLink(tap.name).value();
  ASSERT_TRUE(ChangeLink(before.index, {.mtu = 1400}));
  const Link after = FindLink(before.index).value();
  EXPECT_TRUE(after.up);
  EXPECT_EQ(after.mtu, 1400u);
  EXPECT_EQ(after.mac, before.mac);
  EXPECT_EQ(after.master, 0);
  ASSERT_TRUE(ChangeLink(before.index, {.up = false, .master = FindLink("br0")->index}));
  EXPECT_FALSE(FindLink(tap.name)->up);
  EXPECT_EQ(FindLink(tap.name)->alias, "guest/nic0");
  ASSERT_TRUE(ChangeLink(before.index, {.master = 0}));
  EXPECT_EQ(FindLink(tap.name)->master, 0);
  ASSERT_TRUE(DeleteLink(before.index));
  EXPECT_TRUE(DeleteLink(before.index));
}

TEST_F(TapTest, AnInterfaceWithoutVfsSaysSo) {
  const auto port = CreateVfPort();
  EXPECT_EQ(port->Get("br0", 0).error().reason(), "VF_NOT_FOUND");
  EXPECT_EQ(port->Set("br0", 0, {.mac = "52:54:00:12:34:56"}).error().code(), Code::kUnimplemented);
  EXPECT_EQ(port->Get("eth77", 0).error().reason(), "INTERFACE_NOT_FOUND");
}

TEST(TapName, FitsAndStaysTheSame) {
  const std::string name = TapName("7c0c6c05-0d00-4007-9c5a-b07b0c6c05de/nic0");
  EXPECT_LT(name.size(), static_cast<size_t>(IFNAMSIZ));
  EXPECT_EQ(name, TapName("7c0c6c05-0d00-4007-9c5a-b07b0c6c05de/nic0"));
  EXPECT_NE(name, TapName("7c0c6c05-0d00-4007-9c5a-b07b0c6c05de/nic1"));
}

TEST(OpenVhostNet, SaysWhatToLoad) {
  const ScratchDir directory;
  const auto files = OpenVhostNet(host::HostRoots::At(directory.path()), 1);
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().reason(), "VHOST_NET_NOT_AVAILABLE");
}

}  // namespace
}  // namespace berth::net
