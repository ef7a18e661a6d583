// Copying an image's bitmaps to another image: convert --bitmaps.
#pragma once

#include "block/image.h"

namespace berth::img {

// Both images can have bitmaps. Complains and returns false if it cannot be done.
bool CopyBitmaps(block::Image* source, block::Image* target, bool skip_broken);

}  // namespace berth::img
