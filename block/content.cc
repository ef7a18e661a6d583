#include "block/content.h"

#include <algorithm>
#include <cstring>

namespace berth::block {

bool AllZero(std::span<const uint8_t> bytes) {
  // If the first bytes are zero and each byte is as the one before it, all are.
  constexpr size_t kFirst = 16;
  for (size_t i = 0; i < std::min(kFirst, bytes.size()); ++i) {
    if (bytes[i] != 0) return false;
  }
  return bytes.size() <= kFirst ||
         std::memcmp(bytes.data(), bytes.data() + kFirst, bytes.size() - kFirst) == 0;
}

uint64_t LeadingZeroes(std::span<const uint8_t> bytes) {
  constexpr size_t kStep = 4096;
  size_t at = 0;
  while (at < bytes.size() && AllZero(bytes.subspan(at, std::min(kStep, bytes.size() - at)))) at += kStep;
  while (at < bytes.size() && bytes[at] == 0) ++at;
  return std::min(at, bytes.size());
}

uint64_t RunLength(std::span<const uint8_t> bytes, uint64_t unit, bool* zero) {
  uint64_t at = 0;
  while (at < bytes.size()) {
    const uint64_t size = std::min<uint64_t>(unit, bytes.size() - at);
    const bool this_zero = AllZero(bytes.subspan(at, size));
    if (at == 0) *zero = this_zero;
    if (this_zero != *zero) break;
    at += size;
  }
  return at;
}

}  // namespace berth::block
