#include "img/text.h"

#include <cstdio>

namespace berth::img {

std::string SizeText(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  unsigned power = 0;
  // From 1000 of a unit on the next one is used, so that three digits do.
  while (power < 6 && static_cast<double>(bytes) / static_cast<double>(uint64_t{1} << (10 * power)) >= 1000)
    ++power;
  char text[32];
  std::snprintf(text, sizeof(text), "%0.3g %s",
                static_cast<double>(bytes) / static_cast<double>(uint64_t{1} << (10 * power)), kUnits[power]);
  return text;
}

}  // namespace berth::img
