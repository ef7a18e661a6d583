// What a running guest's display shows.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"
#include "berth/v1/guest_service.pb.h"
#include "berth/vmm/v1/control.pb.h"
#include "server/guest/engine.h"

namespace berth::server {

// Any thread. FAILED_PRECONDITION: GUEST_NOT_RUNNING, DISPLAY_OFF, DISPLAY_NOT_MAPPABLE. NOT_FOUND,
// DEVICE_NOT_FOUND. UNIMPLEMENTED: NO_DISPLAY, PICTURE_FORMAT_UNKNOWN. RESOURCE_EXHAUSTED, PICTURE_TOO_LARGE.
Result<v1::CaptureScreenshotResponse> CaptureScreenshot(Engine& engine,
                                                        const v1::CaptureScreenshotRequest& request);

// The PNG of a picture whose rows are in `file`. The description and the file are the VMM's, which may lie:
// INTERNAL, VMM_PROTOCOL_ERROR, where they do not fit.
Result<std::string> EncodePng(const berth::vmm::v1::Picture& picture, const UniqueFd& file);

}  // namespace berth::server
