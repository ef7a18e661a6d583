// An image for several nodes: each owns one of these, and all stand for the same image.
#pragma once

#include <memory>

#include "block/format_image.h"

namespace berth::block {

// What is stored beneath the image itself, in its backing images, is found through the image's blocking code.
std::unique_ptr<FormatImage> ShareImage(std::shared_ptr<FormatImage> image);

}  // namespace berth::block
