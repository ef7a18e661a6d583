#include "vfio/display.h"

#include <linux/dma-buf.h>
#include <linux/vfio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace berth::vfio {
namespace {

constexpr uint32_t kPrimaryPlane = 1;  // DRM_PLANE_TYPE_PRIMARY
constexpr uint64_t kChunkBytes = kMiB;

// 0, or -errno.
int Query(const Device& device, uint32_t flags, vfio_device_gfx_plane_info* plane) {
  *plane = {};
  plane->argsz = sizeof(*plane);
  plane->flags = flags;
  plane->drm_plane_type = kPrimaryPlane;
  return Ioctl(device.syscalls(), device.fd(), VFIO_DEVICE_QUERY_GFX_PLANE, plane);
}

Status WriteAll(int out, const uint8_t* bytes, uint64_t size, uint64_t offset) {
  while (size > 0) {
    const ssize_t written = ::pwrite(out, bytes, size, static_cast<off_t>(offset));
    if (written <= 0) return FailErrno(written < 0 ? errno : EIO, "write a picture");
    bytes += written, offset += static_cast<uint64_t>(written), size -= static_cast<uint64_t>(written);
  }
  return Ok();
}

Status CopyRegion(const Device& device, uint32_t index, uint64_t size, int out) {
  const RegionInfo region = TRY(device.Region(index));
  if (!region.readable || region.size < size) {
    return Fail(Code::kInternal, "region {} of {} has {} bytes, its picture {}", index, device.name(),
                region.size, size);
  }
  std::vector<uint8_t> chunk(std::min(size, kChunkBytes));
  for (uint64_t done = 0; done < size;) {
    const int64_t count = device.syscalls().Pread(
        device.fd(), chunk.data(), std::min(size - done, kChunkBytes), region.file_offset + done);
    if (count <= 0)
      return FailErrno(count < 0 ? static_cast<int>(-count) : EIO, "read the display of {}", device.name());
    TRY(WriteAll(out, chunk.data(), static_cast<uint64_t>(count), done));
    done += static_cast<uint64_t>(count);
  }
  return Ok();
}

Status CopyDmaBuffer(const Device& device, uint32_t id, uint64_t size, int out) {
  Syscalls& syscalls = device.syscalls();
  const int fd = Ioctl(syscalls, device.fd(), VFIO_DEVICE_GET_GFX_DMABUF, &id);
  if (fd < 0) return FailErrno(-fd, "open the display of {}", device.name());
  const UniqueFd buffer(fd);
  const intptr_t mapped = syscalls.Map(fd, 0, size, false, 4 * kKiB);
  if (mapped < 0) {
    return Fail(
        Error(Code::kFailedPrecondition, fmt::format("the driver of {} does not let its picture be read: {}",
                                                     device.name(), std::strerror(static_cast<int>(-mapped))))
            .Reason("DISPLAY_NOT_MAPPABLE"));
  }
  dma_buf_sync sync{.flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ};
  (void)Ioctl(syscalls, fd, DMA_BUF_IOCTL_SYNC, &sync);  // Where the device has caches to write back.
  const Status copied = WriteAll(out, reinterpret_cast<const uint8_t*>(mapped), size, 0);
  sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ;
  (void)Ioctl(syscalls, fd, DMA_BUF_IOCTL_SYNC, &sync);
  syscalls.Unmap(reinterpret_cast<void*>(mapped), size);
  return copied;
}

}  // namespace

Result<Picture> CaptureDisplay(const Device& device, int out, uint64_t limit_bytes) {
  vfio_device_gfx_plane_info plane;
  uint32_t kind = 0;
  for (const uint32_t type : {VFIO_GFX_PLANE_TYPE_DMABUF, VFIO_GFX_PLANE_TYPE_REGION}) {
    if (Query(device, VFIO_GFX_PLANE_TYPE_PROBE | type, &plane) == 0) kind = type;
  }
  if (kind == 0) {
    return Fail(
        Error(Code::kUnimplemented, fmt::format("{} has no display", device.name())).Reason("NO_DISPLAY"));
  }
  int result = Query(device, kind, &plane);
  // Linux's mbochs makes a buffer for a new mode, and has it only at the second look.
  if (result == -ENOMEM) result = Query(device, kind, &plane);
  if (result < 0) return FailErrno(-result, "look at the display of {}", device.name());
  if (plane.width == 0 || plane.height == 0 || plane.drm_format == 0) {
    return Fail(Error(Code::kFailedPrecondition, fmt::format("the display of {} is off", device.name()))
                    .Reason("DISPLAY_OFF"));
  }
  const uint64_t size = uint64_t{plane.stride} * plane.height;
  if (plane.stride < plane.width || size > plane.size) {
    return Fail(Code::kInternal, "{} says that {}x{} pixels in rows of {} bytes are {} bytes", device.name(),
                uint32_t{plane.width}, uint32_t{plane.height}, uint32_t{plane.stride}, uint32_t{plane.size});
  }
  if (size > limit_bytes) {
    return Fail(Error(Code::kResourceExhausted, fmt::format("the picture of {} has {} bytes, more than {}",
                                                            device.name(), size, limit_bytes))
                    .Reason("PICTURE_TOO_LARGE"));
  }
  TRY(kind == VFIO_GFX_PLANE_TYPE_REGION ? CopyRegion(device, plane.region_index, size, out)
                                         : CopyDmaBuffer(device, plane.dmabuf_id, size, out));
  return Picture{.drm_format = plane.drm_format,
                 .width = plane.width,
                 .height = plane.height,
                 .stride_bytes = plane.stride};
}

}  // namespace berth::vfio
