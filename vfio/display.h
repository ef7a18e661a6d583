// What the display of a mediated device shows: VFIO_DEVICE_QUERY_GFX_PLANE of <linux/vfio.h>. The picture is
// in a region of the device's, or in a DMA buffer that is asked for.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "vfio/device.h"

namespace berth::vfio {

struct Picture {
  uint32_t drm_format = 0;  // <drm/drm_fourcc.h>
  uint32_t width = 0, height = 0;
  uint32_t stride_bytes = 0;  // From one row to the next.
};

// Copies the rows of the primary plane to the start of the file `out`, which is at least of that size.
// UNIMPLEMENTED, NO_DISPLAY, for a device that has none; FAILED_PRECONDITION, DISPLAY_OFF, or
// DISPLAY_NOT_MAPPABLE where the buffer is only for other devices; RESOURCE_EXHAUSTED, PICTURE_TOO_LARGE, for
// more than `limit_bytes`; INTERNAL for a device that contradicts itself.
Result<Picture> CaptureDisplay(const Device& device, int out, uint64_t limit_bytes);

}  // namespace berth::vfio
