#include "server/guest/screenshot.h"

#include <png.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/bytes.h"
#include "server/guest/running_vmm.h"

namespace berth::server {
namespace {

namespace control = berth::vmm::v1;

constexpr uint64_t kMaxPictureBytes = 64 * kMiB;
// <drm/drm_fourcc.h>: 32 bits a pixel, blue in the lowest byte, and nothing or the opacity in the highest.
constexpr uint32_t kXrgb8888 = 0x34325258, kArgb8888 = 0x34325241;
constexpr uint64_t kPixelBytes = 4;

Result<UniqueFd> CreatePictureFile() {
  UniqueFd file(::memfd_create("screenshot", MFD_CLOEXEC));
  if (!file || ::ftruncate(file.get(), kMaxPictureBytes) != 0)
    return FailErrno(errno, "make room for a picture");
  return file;
}

tl::unexpected<Error> Liar(std::string_view what) {
  return Fail(Error(Code::kInternal, fmt::format("the VMM's picture is none: {}", what))
                  .Reason("VMM_PROTOCOL_ERROR"));
}

Status CheckPicture(const control::Picture& picture) {
  if (picture.drm_format() != kXrgb8888 && picture.drm_format() != kArgb8888) {
    return Fail(Error(Code::kUnimplemented,
                      fmt::format("pixels of DRM's format {:#010x} are not understood", picture.drm_format()))
                    .Reason("PICTURE_FORMAT_UNKNOWN"));
  }
  if (picture.width() == 0 || picture.height() == 0) return Liar("it is empty");
  if (picture.stride_bytes() < picture.width() * kPixelBytes) return Liar("its rows overlap");
  if (uint64_t{picture.stride_bytes()} * picture.height() > kMaxPictureBytes) return Liar("it is too large");
  return Ok();
}

// Red, green and blue, a byte each.
Result<std::vector<uint8_t>> ReadPixels(const control::Picture& picture, const UniqueFd& file) {
  std::vector<uint8_t> pixels, row(picture.width() * kPixelBytes);
  pixels.reserve(uint64_t{picture.width()} * picture.height() * 3);
  for (uint64_t y = 0; y < picture.height(); ++y) {
    const ssize_t count =
        ::pread(file.get(), row.data(), row.size(), static_cast<off_t>(y * picture.stride_bytes()));
    if (count != static_cast<ssize_t>(row.size())) return Liar("it is not all there");
    for (size_t x = 0; x < row.size(); x += kPixelBytes)
      pixels.insert(pixels.end(), {row[x + 2], row[x + 1], row[x]});
  }
  return pixels;
}

Result<v1::CaptureScreenshotResponse> CaptureDevice(Vmm& vmm, const std::string& device_id) {
  const UniqueFd file = TRY(CreatePictureFile());
  control::Request request;
  request.mutable_capture_display()->set_id(device_id);
  request.mutable_capture_display()->set_picture_fd(0);
  request.mutable_capture_display()->set_limit_bytes(kMaxPictureBytes);
  const control::Reply reply = TRY(vmm.Call(request, {file.get()}));
  v1::CaptureScreenshotResponse response;
  response.set_png(TRY(EncodePng(reply.picture(), file)));
  response.set_width(static_cast<int32_t>(reply.picture().width()));
  response.set_height(static_cast<int32_t>(reply.picture().height()));
  return response;
}

}  // namespace

Result<std::string> EncodePng(const control::Picture& picture, const UniqueFd& file) {
  TRY(CheckPicture(picture));
  const std::vector<uint8_t> pixels = TRY(ReadPixels(picture, file));
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = picture.width();
  image.height = picture.height();
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string png(size, '\0');
  if (!png_image_write_to_memory(&image, png.data(), &size, 0, pixels.data(), 0, nullptr)) {
    return Fail(Code::kInternal, "a picture cannot be encoded: {}", static_cast<const char*>(image.message));
  }
  png.resize(size);
  return png;
}

Result<v1::CaptureScreenshotResponse> CaptureScreenshot(Engine& engine,
                                                        const v1::CaptureScreenshotRequest& request) {
  const std::shared_ptr<Vmm> vmm = TRY(RunningVmm(engine, request.name()));
  const v1::Guest shown = TRY(engine.book.Find(request.name()))->Get();
  if (!request.device_id().empty()) return CaptureDevice(*vmm, request.device_id());
  for (const v1::ClaimedDevice& device : shown.claimed_devices()) {
    auto picture = CaptureDevice(*vmm, device.id());
    if (picture || picture.error().reason() != "NO_DISPLAY") return picture;
  }
  return Fail(Error(Code::kUnimplemented,
                    fmt::format("none of the assigned devices of {} has a display", request.name()))
                  .Reason("NO_DISPLAY")
                  .With("resource", request.name()));
}

}  // namespace berth::server
