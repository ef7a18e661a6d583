#include "net/host/vf.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/control/record.h"
#include "tests/fakes/host_tree.h"

namespace berth::net {
namespace {

using host::HostTree;
using host::PciAddress;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr PciAddress kPf{0, 0x41, 0, 0};

// A PF's driver: keeps settings and the order of changes; refuses, or drops without a word, what a test
// names.
class FakeVfPort final : public VfPort {
 public:
  Result<VfSettings> Get(const std::string& interface, int vf_index) override {
    if (interface != "eth0" || vf_index >= 2) return Fail(Code::kNotFound, "no VF {}", vf_index);
    return settings[vf_index];
  }
  Status Set(const std::string& interface, int vf_index, const VfSettings& wanted) override {
    CHECK(interface == "eth0");
    VfSettings& now = settings[vf_index];
    const auto set = [&](const char* name, const auto& from, auto& to) -> Status {
      if (!from) return Ok();
      log.push_back(name);
      if (refused == name) return Fail(Code::kUnimplemented, "Operation not supported");
      if (dropped != name) to = from;
      return Ok();
    };
    TRY(set("vlan", wanted.vlan, now.vlan));
    TRY(set("mac", wanted.mac, now.mac));
    TRY(set("rate", wanted.rate, now.rate));
    TRY(set("spoofCheck", wanted.spoof_check, now.spoof_check));
    TRY(set("trust", wanted.trust, now.trust));
    return set("linkState", wanted.link_state, now.link_state);
  }

  VfSettings settings[2] = {{.mac = "00:00:00:00:00:00",
                             .vlan = VfVlan{},
                             .rate = VfRate{},
                             .spoof_check = true,
                             .trust = false,
                             .link_state = 0},
                            {.mac = "00:00:00:00:00:00", .vlan = VfVlan{}}};  // A driver that tells little.
  std::vector<std::string> log;
  std::string refused, dropped;
};

class VfTest : public ::testing::Test {
 protected:
  VfTest() {
    tree_.AddFunction({.address = "0000:41:00.0", .driver = "igb"});
    tree_.AddInterface("eth0", "0000:41:00.0");
  }
  VfChange Plan(const VfSettings& wanted) { return PlanVf(tree_.roots(), port_, kPf, 0, wanted).value(); }

  HostTree tree_;
  FakeVfPort port_;
};

TEST_F(VfTest, TouchesOnlyWhatWasAskedForInTheRightOrder) {
  const VfChange change = Plan({.mac = "52:54:00:12:34:56", .vlan = VfVlan{100, 3}, .trust = true});
  EXPECT_TRUE(port_.log.empty());
  ASSERT_TRUE(ApplyVf(tree_.roots(), port_, change));
  EXPECT_THAT(port_.log, ElementsAre("vlan", "mac", "trust"));
  EXPECT_EQ(port_.settings[0].mac, "52:54:00:12:34:56");
  EXPECT_EQ(port_.settings[0].vlan, (VfVlan{100, 3}));
  EXPECT_EQ(port_.settings[0].spoof_check, true);
}

TEST_F(VfTest, PutsTheOriginalsBackInReverse) {
  const VfSettings before = port_.settings[0];
  const VfChange change = Plan({.mac = "52:54:00:12:34:56", .vlan = VfVlan{100, 3}});
  ASSERT_TRUE(ApplyVf(tree_.roots(), port_, change));
  port_.log.clear();
  ASSERT_TRUE(RestoreVf(tree_.roots(), port_, host::Decode<VfChange>(host::Encode(change)).value()));
  EXPECT_EQ(port_.settings[0], before);
  EXPECT_THAT(port_.log, ElementsAre("mac", "vlan"));
  ASSERT_TRUE(RestoreVf(tree_.roots(), port_, change));
  EXPECT_THAT(port_.log, ElementsAre("mac", "vlan"));  // Nothing left to do.
}

TEST_F(VfTest, NamesTheSettingThatIsRefusedAndTakesTheOthersBack) {
  const VfSettings before = port_.settings[0];
  port_.refused = "trust";
  const Status applied = ApplyVf(tree_.roots(), port_, Plan({.mac = "52:54:00:12:34:56", .trust = true}));
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(applied.error().reason(), "VF_SETTING_REFUSED");
  EXPECT_THAT(applied.error().metadata(), ::testing::Contains(Pair("setting", "trust")));
  EXPECT_THAT(applied.error().message(), HasSubstr("Operation not supported"));
  EXPECT_EQ(port_.settings[0], before);
}

TEST_F(VfTest, FindsOutThatADriverKeepsAnotherValue) {
  port_.dropped = "mac";
  const Status applied = ApplyVf(tree_.roots(), port_, Plan({.mac = "52:54:00:12:34:56"}));
  ASSERT_FALSE(applied);
  EXPECT_THAT(applied.error().message(), HasSubstr("keeps another value"));
}

// A setting that cannot be put back must not keep the others from it.
TEST_F(VfTest, RestoresWhatItCan) {
  const VfChange change = Plan({.mac = "52:54:00:12:34:56", .vlan = VfVlan{100}, .spoof_check = false});
  ASSERT_TRUE(ApplyVf(tree_.roots(), port_, change));
  port_.refused = "mac";
  const Status restored = RestoreVf(tree_.roots(), port_, change);
  ASSERT_FALSE(restored);
  EXPECT_THAT(restored.error().metadata(), ::testing::Contains(Pair("setting", "mac")));
  EXPECT_EQ(port_.settings[0].vlan, VfVlan{});
  EXPECT_EQ(port_.settings[0].spoof_check, true);
}

TEST_F(VfTest, RestoreIsDoneWhenVfOrInterfaceAreGone) {
  VfChange change = Plan({.mac = "52:54:00:12:34:56"});
  change.vf_index = 5;
  EXPECT_TRUE(RestoreVf(tree_.roots(), port_, change));
  change.vf_index = 0;
  tree_.Remove(tree_.FunctionPath("0000:41:00.0") + "/net");
  EXPECT_TRUE(RestoreVf(tree_.roots(), port_, change));
  EXPECT_EQ(ApplyVf(tree_.roots(), port_, change).error().reason(), "NO_PF_INTERFACE");
}

TEST_F(VfTest, FollowsAnInterfaceThatWasRenamed) {
  const VfChange change = Plan({.mac = "52:54:00:12:34:56"});
  tree_.Remove(tree_.FunctionPath("0000:41:00.0") + "/net");
  tree_.AddInterface("eth0", "0000:41:00.0");
  EXPECT_TRUE(ApplyVf(tree_.roots(), port_, change));
}

TEST_F(VfTest, PlanRefusesWhatCannotBe) {
  const auto reason = [&](const VfSettings& wanted, int vf_index = 0) {
    const auto change = PlanVf(tree_.roots(), port_, kPf, vf_index, wanted);
    return change ? "" : change.error().reason();
  };
  EXPECT_EQ(reason({.mac = "52:54:00:12:34"}), "BAD_MAC_ADDRESS");
  EXPECT_EQ(reason({.mac = "01:00:5e:00:00:01"}), "BAD_MAC_ADDRESS");  // A group's.
  EXPECT_EQ(reason({.mac = "00:00:00:00:00:00"}), "BAD_MAC_ADDRESS");
  EXPECT_EQ(reason({.vlan = VfVlan{4096}}), "BAD_VLAN");
  EXPECT_EQ(reason({.vlan = VfVlan{1, 8}}), "BAD_VLAN");
  EXPECT_EQ(reason({.vlan = VfVlan{1, 0, 0x1234}}), "BAD_VLAN");
  EXPECT_EQ(reason({.link_state = 3}), "BAD_LINK_STATE");
  EXPECT_EQ(reason({.trust = true}, 1), "VF_SETTING_NOT_SUPPORTED");
  EXPECT_EQ(reason({.mac = "52:54:00:12:34:56"}, 1), "");
  EXPECT_EQ(PlanVf(tree_.roots(), port_, PciAddress{0, 9, 0, 0}, 0, {}).error().reason(), "DEVICE_NOT_FOUND");
}

TEST(MacAddress, ReadsAndWrites) {
  EXPECT_EQ(MacAddress::Parse("52:54:00:AB:cd:ef")->ToString(), "52:54:00:ab:cd:ef");
  for (const char* text : {"", "52:54:00:12:34", "52:54:00:12:34:5", "52-54-00-12-34-56", "52:54:00:12:34:5g",
                           "52:54:00:12:34:56:78", "+2:54:00:12:34:56"}) {
    EXPECT_FALSE(MacAddress::Parse(text)) << text;
  }
}

TEST(MacAddress, DerivedOnesAreLocalAndStayTheSame) {
  const MacAddress mac = MacAddressFor("a guest/nic0");
  EXPECT_EQ(mac, MacAddressFor("a guest/nic0"));
  EXPECT_NE(mac, MacAddressFor("a guest/nic1"));
  EXPECT_TRUE(mac.is_unicast());
  EXPECT_EQ(mac.bytes[0] & 2, 2);
}

}  // namespace
}  // namespace berth::net
