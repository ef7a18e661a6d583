#include "base/bytes.h"

#include <fmt/format.h>

namespace berth {

uint64_t LoadLeSized(const void* bytes, unsigned size) {
  uint64_t value = 0;
  std::memcpy(&value, bytes, size > sizeof(value) ? sizeof(value) : size);
  return value;
}

void StoreLeSized(void* bytes, unsigned size, uint64_t value) {
  std::memcpy(bytes, &value, size > sizeof(value) ? sizeof(value) : size);
}

std::string HumanSize(uint64_t size_bytes) {
  static constexpr struct {
    uint64_t unit;
    const char* name;
  } kUnits[] = {{kGiB * 1024, "TiB"}, {kGiB, "GiB"}, {kMiB, "MiB"}, {kKiB, "KiB"}};
  for (const auto& [unit, name] : kUnits) {
    if (size_bytes < unit) continue;
    if (size_bytes % unit == 0) return fmt::format("{} {}", size_bytes / unit, name);
    return fmt::format("{:.1f} {}", static_cast<double>(size_bytes) / static_cast<double>(unit), name);
  }
  return fmt::format("{} bytes", size_bytes);
}

}  // namespace berth
