#include "vfio/monitor.h"

#include <linux/vfio.h>

#include "tests/vfio/vfio_device_fixture.h"

namespace berth::vfio {
namespace {

constexpr unsigned kRegion = VFIO_PCI_NUM_REGIONS;
constexpr uint32_t kBlob = 0x400;

struct MonitorTest : VfioDeviceFixture {
  void AddEdidRegion(uint32_t max_width, uint32_t max_height) {
    auto& region =
        fake.AddRegion(kRegion, 4 * kKiB, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE);
    region.type = {VFIO_REGION_TYPE_GFX, VFIO_REGION_SUBTYPE_GFX_EDID};
    head() = {.edid_offset = kBlob, .edid_max_size = 256, .max_xres = max_width, .max_yres = max_height};
  }
  vfio_region_gfx_edid& head() {
    return *reinterpret_cast<vfio_region_gfx_edid*>(fake.region(kRegion).bytes);
  }
  uint8_t* blob() { return fake.region(kRegion).bytes + kBlob; }
  int width() { return blob()[56] | (blob()[58] >> 4) << 8; }
};

TEST_F(MonitorTest, IsToldToTheDevice) {
  AddEdidRegion(0, 0);
  Open();
  ASSERT_TRUE(ConnectMonitor(*device, MonitorSize{1920, 1080}));
  EXPECT_EQ(head().link_state, uint32_t{VFIO_DEVICE_GFX_LINK_STATE_UP});
  EXPECT_EQ(head().edid_size, kEdidBytes);
  EXPECT_EQ(width(), 1920);
}

TEST_F(MonitorTest, IsOfTheUsualSizeOrWhatTheDeviceHas) {
  AddEdidRegion(0, 0);
  Open();
  ASSERT_TRUE(ConnectMonitor(*device, std::nullopt));
  EXPECT_EQ(width(), 1280);
  head().max_xres = 1024;
  ASSERT_TRUE(ConnectMonitor(*device, std::nullopt));
  EXPECT_EQ(width(), 1024);
}

TEST_F(MonitorTest, IsRefusedWhereItCannotBe) {
  Open();
  EXPECT_TRUE(ConnectMonitor(*device, std::nullopt));
  EXPECT_EQ(ConnectMonitor(*device, MonitorSize{1920, 1080}).error().reason(), "NO_MONITOR");
  AddEdidRegion(1024, 768);
  EXPECT_EQ(ConnectMonitor(*device, MonitorSize{1920, 1080}).error().reason(), "MONITOR_TOO_LARGE");
}

TEST_F(MonitorTest, ADeviceThatLiesAboutItsRoomIsNotWrittenTo) {
  AddEdidRegion(0, 0);
  head().edid_offset = 4000;
  Open();
  EXPECT_EQ(ConnectMonitor(*device, std::nullopt).error().code(), Code::kInternal);
  EXPECT_EQ(head().link_state, 0u);
}

}  // namespace
}  // namespace berth::vfio
