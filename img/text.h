// Numbers as other tools print them.
#pragma once

#include <cstdint>
#include <string>

namespace berth::img {

// "1 MiB", "196 KiB", "1.5 GiB": three significant digits.
std::string SizeText(uint64_t bytes);

}  // namespace berth::img
