#include "hw/virtio/net_filter.h"

#include <algorithm>
#include <optional>

#include <gtest/gtest.h>

namespace berth::hw {
namespace {

constexpr MacAddress kOwn = {0x52, 0x54, 0, 1, 2, 3}, kOther = {0x52, 0x54, 0, 9, 9, 9},
                     kGroup = {0x33, 0x33, 0, 0, 0, 1}, kAll = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

std::vector<uint8_t> Frame(const MacAddress& to, std::optional<uint16_t> vlan = {}) {
  std::vector<uint8_t> frame(kFilterBytes);
  std::copy(to.begin(), to.end(), frame.begin());
  if (vlan) {
    frame[12] = 0x81;
    frame[14] = static_cast<uint8_t>(*vlan >> 8);
    frame[15] = static_cast<uint8_t>(*vlan);
  }
  return frame;
}

ReceiveFilter Strict() {
  ReceiveFilter filter;
  filter.mac = kOwn;
  filter.promiscuous = false;
  return filter;
}

TEST(ReceiveFilter, LetsEverythingThroughUntilTold) {
  EXPECT_TRUE(ReceiveFilter{}.Accepts(Frame(kOther)));
  EXPECT_TRUE(ReceiveFilter{}.Accepts(Frame(kGroup, 7)));
}

TEST(ReceiveFilter, KnowsItsOwnAddressItsTableAndBroadcasts) {
  ReceiveFilter filter = Strict();
  EXPECT_TRUE(filter.Accepts(Frame(kOwn)));
  EXPECT_TRUE(filter.Accepts(Frame(kAll)));
  EXPECT_FALSE(filter.Accepts(Frame(kOther)));
  EXPECT_FALSE(filter.Accepts(Frame(kGroup)));
  filter.unicast = {kOther};
  filter.multicast = {kGroup};
  EXPECT_TRUE(filter.Accepts(Frame(kOther)));
  EXPECT_TRUE(filter.Accepts(Frame(kGroup)));
}

TEST(ReceiveFilter, HasAModeForEachKind) {
  ReceiveFilter filter = Strict();
  filter.all_unicast = filter.all_multicast = true;
  EXPECT_TRUE(filter.Accepts(Frame(kOther)));
  EXPECT_TRUE(filter.Accepts(Frame(kGroup)));
  filter.no_unicast = filter.no_multicast = filter.no_broadcast = true;
  EXPECT_FALSE(filter.Accepts(Frame(kOwn)));
  EXPECT_FALSE(filter.Accepts(Frame(kGroup)));
  EXPECT_FALSE(filter.Accepts(Frame(kAll)));
}

TEST(ReceiveFilter, ATableThatOverflowsLetsItsKindThrough) {
  ReceiveFilter filter = Strict();
  filter.unicast_overflow = true;
  EXPECT_TRUE(filter.Accepts(Frame(kOther)));
  EXPECT_FALSE(filter.Accepts(Frame(kGroup)));
}

TEST(ReceiveFilter, VlansAreFilteredAlsoForThePromiscuous) {
  ReceiveFilter filter;
  filter.filter_vlans = true;
  filter.vlans[7] = true;
  EXPECT_TRUE(filter.Accepts(Frame(kOther)));
  EXPECT_TRUE(filter.Accepts(Frame(kOther, 7)));
  EXPECT_TRUE(filter.Accepts(Frame(kOther, 0xe007)));  // Priority and DEI are no part of the number.
  EXPECT_FALSE(filter.Accepts(Frame(kOther, 8)));
}

TEST(ReceiveFilter, ShortFramesAreNothing) {
  ReceiveFilter filter;
  EXPECT_FALSE(filter.Accepts({}));
  EXPECT_FALSE(filter.Accepts(std::vector<uint8_t>(13)));
  filter.filter_vlans = true;
  std::vector<uint8_t> cut = Frame(kOwn, 7);
  cut.resize(15);
  EXPECT_FALSE(filter.Accepts(cut));
}

}  // namespace
}  // namespace berth::hw
