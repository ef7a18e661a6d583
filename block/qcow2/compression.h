// Compressed clusters: raw deflate with a 4 KiB window, or one zstd frame.
#pragma once

#include <cstdint>
#include <span>

#include "block/qcow2/format.h"

namespace berth::block::qcow2 {

// Bytes written to `out`; 0 if they do not fit there. Any thread; contexts are kept for each.
size_t Compress(Compression method, std::span<const uint8_t> in, std::span<uint8_t> out);
// Fills `out` exactly; false if the data is not such a stream or shorter. What follows the stream in `in` is
// padding.
bool Decompress(Compression method, std::span<const uint8_t> in, std::span<uint8_t> out);

}  // namespace berth::block::qcow2
