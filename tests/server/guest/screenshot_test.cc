#include "server/guest/screenshot.h"

#include <png.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gmock/gmock.h>

namespace berth::server {
namespace {

using testing::ElementsAre;

constexpr uint32_t kXrgb8888 = 0x34325258;

UniqueFd FileWith(const std::vector<uint8_t>& bytes) {
  UniqueFd file(::memfd_create("picture", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  return file;
}

berth::vmm::v1::Picture Describe(uint32_t width, uint32_t height, uint32_t stride,
                                 uint32_t format = kXrgb8888) {
  berth::vmm::v1::Picture picture;
  picture.set_width(width);
  picture.set_height(height);
  picture.set_stride_bytes(stride);
  picture.set_drm_format(format);
  return picture;
}

// Its pixels, as red, green and blue.
std::vector<uint8_t> Decode(const std::string& png) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_TRUE(png_image_begin_read_from_memory(&image, png.data(), png.size()));
  image.format = PNG_FORMAT_RGB;
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(image));
  EXPECT_TRUE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr));
  return pixels;
}

TEST(EncodePng, TakesThePixelsOfEachRow) {
  // Two rows of one pixel, and a gap.
  const auto file = FileWith({0xb0, 0x90, 0x10, 0xff, 1, 2, 3, 4, 0xb1, 0x91, 0x11, 0x00, 5, 6, 7, 8});
  const auto png = EncodePng(Describe(1, 2, 8), file);
  ASSERT_TRUE(png) << png.error().message();
  EXPECT_THAT(Decode(*png), ElementsAre(0x10, 0x90, 0xb0, 0x11, 0x91, 0xb1));
}

TEST(EncodePng, APictureThatIsNoneIsTheVmmsFault) {
  const auto file = FileWith(std::vector<uint8_t>(64));
  const auto reason = [&](const berth::vmm::v1::Picture& picture) {
    return EncodePng(picture, file).error().reason();
  };
  EXPECT_EQ(reason(Describe(0, 1, 4)), "VMM_PROTOCOL_ERROR");
  EXPECT_EQ(reason(Describe(1, 0, 4)), "VMM_PROTOCOL_ERROR");
  EXPECT_EQ(reason(Describe(2, 1, 4)), "VMM_PROTOCOL_ERROR") << "rows overlap";
  EXPECT_EQ(reason(Describe(4, 5, 16)), "VMM_PROTOCOL_ERROR") << "it is not all there";
  EXPECT_EQ(reason(Describe(0x40000001, 1, 4)), "VMM_PROTOCOL_ERROR") << "the width wraps";
  EXPECT_EQ(reason(Describe(1, 0xffffffff, 0xffffffff)), "VMM_PROTOCOL_ERROR") << "it is too large";
  EXPECT_EQ(reason(Describe(1, 1, 4, 0x20203852)), "PICTURE_FORMAT_UNKNOWN");
}

}  // namespace
}  // namespace berth::server
