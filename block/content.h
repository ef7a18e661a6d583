// Looking for zeroes in content.
#pragma once

#include <cstdint>
#include <span>

namespace berth::block {

// How many bytes at the front are zero.
uint64_t LeadingZeroes(std::span<const uint8_t> bytes);
// Whether all are.
bool AllZero(std::span<const uint8_t> bytes);
// The length of the run at the front that is alike: units of `unit` bytes that are all zero, or are not. The
// last unit may be shorter.
uint64_t RunLength(std::span<const uint8_t> bytes, uint64_t unit, bool* zero);

}  // namespace berth::block
