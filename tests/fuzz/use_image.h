// Reads, writes and the like of an image, as the input says.
#pragma once

#include <algorithm>
#include <vector>

#include "block/format_image.h"
#include "tests/fuzz/fuzz_input.h"

namespace berth::block {

inline void UseImage(FormatImage* image, FuzzInput* input) {
  constexpr uint64_t kNear = 4 << 20;
  std::vector<uint8_t> buffer(70'000), packed(2 << 20);
  for (int i = 0; i < 24 && !input->empty() && image->size_bytes() != 0; ++i) {
    const auto what = input->Take<uint8_t>();
    const uint64_t size = image->size_bytes();
    const uint64_t offset = input->Take<uint64_t>() % (what & 16 ? size : std::min(size, kNear));
    const uint64_t length = std::min<uint64_t>(size - offset, 1 + input->Take<uint16_t>() % buffer.size());
    switch (what % 8) {
      case 0:
        (void)Read(image, offset, {buffer.data(), length});
        break;
      case 1:
      case 2:
        (void)Write(image, offset, {buffer.data(), length});
        break;
      case 3:
        (void)WriteZeroes(image, offset, length, what & 8);
        break;
      case 4:
        (void)Discard(image, offset, length);
        break;
      case 5:
        (void)Flush(image);
        break;
      case 6: {
        const uint64_t cluster = image->Info().cluster_size_bytes.value_or(65536);
        if (cluster > packed.size()) break;
        const std::vector<uint8_t> whole(cluster);
        if (const size_t packed_bytes = image->Pack(whole, {packed.data(), cluster}); packed_bytes != 0) {
          (void)image->WritePacked(offset / cluster * cluster, {packed.data(), packed_bytes});
        }
        break;
      }
      default:
        (void)image->Map(offset, what & 8 ? length : size - offset);
    }
  }
}

}  // namespace berth::block
