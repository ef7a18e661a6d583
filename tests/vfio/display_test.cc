#include "vfio/display.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "tests/vfio/vfio_device_fixture.h"

namespace berth::vfio {
namespace {

constexpr uint32_t kXrgb8888 = 0x34325258;
constexpr unsigned kRegion = 10;
constexpr uint64_t kLimit = 16 * kMiB;

UniqueFd CreateFile(const std::string& content = "") {
  UniqueFd file(::memfd_create("picture", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(file.get(), content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
  return file;
}

struct DisplayTest : VfioDeviceFixture {
  // 640x480, with something in every row.
  FakeVfioDevice::Display& Show() {
    fake.display.emplace();
    vfio_device_gfx_plane_info& plane = fake.display->plane;
    plane.drm_format = kXrgb8888;
    plane.width = 640;
    plane.height = 480;
    plane.stride = 4096;
    plane.size = 480 * 4096;
    plane.region_index = kRegion;
    for (size_t i = 0; i < picture.size(); ++i) picture[i] = static_cast<char>(i / 4096 + i);
    return *fake.display;
  }
  std::string Captured() {
    std::string bytes(picture.size(), '\0');
    bytes.resize(
        static_cast<size_t>(std::max<ssize_t>(::pread(out.get(), bytes.data(), bytes.size(), 0), 0)));
    return bytes;
  }

  std::string picture = std::string(480 * 4096, '\0');
  const UniqueFd out = CreateFile();
};

TEST_F(DisplayTest, APictureInARegion) {
  Show();
  fake.check_decode = false;
  fake.AddRegion(kRegion, picture.size(), VFIO_REGION_INFO_FLAG_READ);
  std::memcpy(fake.region(kRegion).bytes, picture.data(), picture.size());
  Open();
  const auto captured = CaptureDisplay(*device, out.get(), kLimit);
  ASSERT_TRUE(captured) << captured.error().message();
  EXPECT_EQ(captured->width, 640u);
  EXPECT_EQ(captured->height, 480u);
  EXPECT_EQ(captured->stride_bytes, 4096u);
  EXPECT_EQ(captured->drm_format, kXrgb8888);
  EXPECT_TRUE(Captured() == picture);
}

TEST_F(DisplayTest, APictureInADmaBuffer) {
  Show();
  fake.display->buffer = CreateFile(picture);
  fake.display->plane.dmabuf_id = 3;
  Open();
  const auto captured = CaptureDisplay(*device, out.get(), kLimit);
  ASSERT_TRUE(captured) << captured.error().message();
  EXPECT_TRUE(Captured() == picture);
}

TEST_F(DisplayTest, ADeviceWithoutADisplayOrOneThatIsOff) {
  Open();
  EXPECT_EQ(CaptureDisplay(*device, out.get(), kLimit).error().reason(), "NO_DISPLAY");
  Show().plane = {};
  EXPECT_EQ(CaptureDisplay(*device, out.get(), kLimit).error().reason(), "DISPLAY_OFF");
}

TEST_F(DisplayTest, WhatIsTooLargeOrContradictsItself) {
  Show();
  Open();
  EXPECT_EQ(CaptureDisplay(*device, out.get(), 480 * 4096 - 1).error().reason(), "PICTURE_TOO_LARGE");
  fake.display->plane.size = 480 * 4096 - 1;
  EXPECT_EQ(CaptureDisplay(*device, out.get(), kLimit).error().code(), Code::kInternal);
  Show().plane.stride = 639;
  EXPECT_EQ(CaptureDisplay(*device, out.get(), kLimit).error().code(), Code::kInternal);
  Show();  // There is no such region.
  EXPECT_EQ(CaptureDisplay(*device, out.get(), kLimit).error().code(), Code::kInternal);
}

TEST_F(DisplayTest, ADriverThatNeedsASecondLookAtANewMode) {
  Show().buffer = CreateFile(picture);
  Open();
  constexpr int kThird = 3;  // After the probes.
  kernel.FailCall(VFIO_DEVICE_QUERY_GFX_PLANE, kThird, ENOMEM);
  EXPECT_TRUE(CaptureDisplay(*device, out.get(), kLimit));
  kernel.FailCall(VFIO_DEVICE_QUERY_GFX_PLANE, kThird, EIO);
  EXPECT_FALSE(CaptureDisplay(*device, out.get(), kLimit));
}

TEST_F(DisplayTest, ErrorsOfTheDeviceAreTold) {
  Show();
  fake.check_decode = false;
  fake.AddRegion(kRegion, picture.size(), VFIO_REGION_INFO_FLAG_READ);
  Open();
  kernel.FailCall(FakeVfio::kPread, 2, EIO);
  EXPECT_FALSE(CaptureDisplay(*device, out.get(), kLimit));
  Show().buffer = CreateFile(picture);
  kernel.FailCall(VFIO_DEVICE_GET_GFX_DMABUF, 1, EBUSY);
  EXPECT_FALSE(CaptureDisplay(*device, out.get(), kLimit));
  kernel.FailCall(FakeVfio::kMap, 1, EINVAL);
  EXPECT_EQ(CaptureDisplay(*device, out.get(), kLimit).error().reason(), "DISPLAY_NOT_MAPPABLE");
  EXPECT_TRUE(CaptureDisplay(*device, out.get(), kLimit));
}

}  // namespace
}  // namespace berth::vfio
