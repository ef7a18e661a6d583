// The file that a new image is to be in.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "block/image.h"

namespace berth::block {

// Makes it, of `size_bytes`, by the protocol that its name says, and opens it for writing without flushes:
// who creates an image that is lost in a crash creates it again.
Result<std::unique_ptr<Image>> CreateFileFor(const std::string& filename, uint64_t size_bytes);

}  // namespace berth::block
