#include "hw/virtio/net_config.h"

#include <gtest/gtest.h>

namespace berth::hw {
namespace {

constexpr uint64_t kEverything = ~0ull;

TEST(NetFeatures, OffersTheOffloadsOfThePort) {
  const uint64_t none = NetFeatures({}, 1);
  EXPECT_FALSE(none &
               (kNetChecksum | kNetGuestOffloads | kNetHostTso4 | kNetHostUfo | kNetCtrlGuestOffloads));
  EXPECT_FALSE(none & kNetMultiQueue);
  const uint64_t most = NetFeatures({.checksum = true, .tso4 = true, .tso6 = true, .tso_ecn = true}, 4);
  EXPECT_TRUE(most & kNetHostTso6);
  EXPECT_TRUE(most & kNetGuestEcn);
  EXPECT_TRUE(most & kNetMultiQueue);
  EXPECT_FALSE(most & (kNetHostUfo | kNetGuestUfo));
}

TEST(OffloadsOf, NamesTheSame) {
  EXPECT_EQ(OffloadsOf(kNetGuestChecksum | kNetGuestTso6), (net::Offloads{.checksum = true, .tso6 = true}));
  EXPECT_EQ(OffloadsOf(0), net::Offloads{});
}

TEST(CheckTransmitHeader, APlainPacketAsksForNothing) {
  NetHeader header{.flags = 0xfe,  // All but NEEDS_CSUM: nonsense, or the device's to say.
                   .gso_type = kNetGsoEcn,
                   .hdr_len = 1,
                   .gso_size = 2,
                   .csum_start = 3,
                   .csum_offset = 4,
                   .num_buffers = 5};
  ASSERT_TRUE(CheckTransmitHeader(kEverything, 60, &header));
  EXPECT_EQ(header.flags, 0);
  EXPECT_EQ(header.gso_type, 0);
  EXPECT_EQ(header.hdr_len | header.gso_size | header.csum_start | header.csum_offset | header.num_buffers,
            0);
}

TEST(CheckTransmitHeader, AChecksumLiesInThePacket) {
  NetHeader good{.flags = 1,
                 .gso_type = 0,
                 .hdr_len = 0,
                 .gso_size = 0,
                 .csum_start = 34,
                 .csum_offset = 16,
                 .num_buffers = 0};
  EXPECT_TRUE(CheckTransmitHeader(kNetChecksum, 52, &good));
  EXPECT_EQ(good.csum_start, 34);
  NetHeader beyond = good;
  EXPECT_FALSE(CheckTransmitHeader(kNetChecksum, 51, &beyond));
  NetHeader far = good;
  far.csum_start = far.csum_offset = 0xffff;
  EXPECT_FALSE(CheckTransmitHeader(kNetChecksum, 60, &far));
  NetHeader unasked = good;
  EXPECT_FALSE(CheckTransmitHeader(kEverything & ~kNetChecksum, 60, &unasked));
}

TEST(CheckTransmitHeader, SegmentationNeedsWhatWasNegotiated) {
  const NetHeader tso{.flags = 1,
                      .gso_type = kNetGsoTcp4,
                      .hdr_len = 54,
                      .gso_size = 1448,
                      .csum_start = 34,
                      .csum_offset = 16,
                      .num_buffers = 0};
  NetHeader header = tso;
  EXPECT_TRUE(CheckTransmitHeader(kNetChecksum | kNetHostTso4, 9000, &header));
  EXPECT_EQ(header.gso_size, 1448);
  EXPECT_EQ(header.hdr_len, 54);
  header = tso;
  EXPECT_FALSE(CheckTransmitHeader(kNetChecksum | kNetHostTso6, 9000, &header));
  header = tso;
  header.gso_type = kNetGsoTcp6;
  EXPECT_FALSE(CheckTransmitHeader(kNetChecksum | kNetHostTso4, 9000, &header));
  header = tso;
  header.gso_type |= kNetGsoEcn;
  EXPECT_FALSE(CheckTransmitHeader(kNetChecksum | kNetHostTso4, 9000, &header));
  header.gso_type = kNetGsoUdp;
  EXPECT_FALSE(CheckTransmitHeader(kNetChecksum | kNetHostTso4, 9000, &header));
  header.gso_type = 2;
  EXPECT_FALSE(CheckTransmitHeader(kEverything, 9000, &header));
}

TEST(CheckTransmitHeader, SegmentsHaveASizeAndAChecksum) {
  NetHeader header{.flags = 1,
                   .gso_type = kNetGsoTcp4,
                   .hdr_len = 20'000,
                   .gso_size = 0,
                   .csum_start = 34,
                   .csum_offset = 16,
                   .num_buffers = 0};
  EXPECT_FALSE(CheckTransmitHeader(kEverything, 9000, &header));
  header.gso_size = 1;
  EXPECT_TRUE(CheckTransmitHeader(kEverything, 9000, &header));
  EXPECT_EQ(header.hdr_len, 0);  // A hint that cannot be.
  header.flags = 0;
  EXPECT_FALSE(CheckTransmitHeader(kEverything, 9000, &header));
}

}  // namespace
}  // namespace berth::hw
