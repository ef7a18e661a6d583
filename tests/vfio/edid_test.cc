#include "vfio/edid.h"

#include <numeric>

#include <gmock/gmock.h>

#include "base/bytes.h"

namespace berth::vfio {
namespace {

// VESA E-EDID 1.4, 3.1: the header, and a sum of zero.
TEST(Edid, IsABaseBlock) {
  const auto edid = MakeEdid({1280, 800});
  EXPECT_EQ(LoadLe<uint64_t>(edid.data()), 0x00ffffffffffff00u);
  EXPECT_EQ(std::accumulate(edid.begin(), edid.end(), 0) % 256, 0);
  EXPECT_EQ(edid[126], 0);  // Nothing follows.
}

// 3.10.2: the preferred timing is the first. 1920x1080 at 60 Hz with reduced blanking has 138.5 MHz and 31
// lines of blank in VESA's table; ours may have the next lower multiple of its steps.
TEST(Edid, PrefersWhatIsAskedFor) {
  const auto edid = MakeEdid({1920, 1080});
  const uint8_t* const timing = &edid[54];
  EXPECT_EQ(timing[2] | (timing[4] >> 4) << 8, 1920);
  EXPECT_EQ(timing[5] | (timing[7] >> 4) << 8, 1080);
  EXPECT_EQ(timing[3] | (timing[4] & 15) << 8, 160);
  EXPECT_EQ(timing[6] | (timing[7] & 15) << 8, 31);
  EXPECT_NEAR(LoadLe<uint16_t>(timing), 13850, 30);
  EXPECT_NEAR(edid[21], 51, 1);  // Centimetres.
}

TEST(Edid, HoldsTheLargestAndTheSmallest) {
  for (const MonitorSize& size :
       {kMinMonitor, kMaxMonitor, MonitorSize{kMaxMonitor.width, kMinMonitor.height},
        MonitorSize{kMinMonitor.width, kMaxMonitor.height}}) {
    const auto edid = MakeEdid(size);
    const uint8_t* const timing = &edid[54];
    const uint32_t lines = size.height + (timing[6] | (timing[7] & 15) << 8);
    EXPECT_EQ(timing[2] | (timing[4] >> 4) << 8, static_cast<int>(size.width));
    EXPECT_NEAR(LoadLe<uint16_t>(timing) * 10'000.0 / (size.width + 160) / lines, 60, 0.5);
  }
}

}  // namespace
}  // namespace berth::vfio
