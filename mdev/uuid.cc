#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "mdev/mdev.h"

namespace berth::mdev {

Result<std::string> ParseUuid(const std::string& text) {
  constexpr size_t kLength = 36;
  bool good = text.size() == kLength;
  for (size_t i = 0; good && i < kLength; ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    good = dash ? text[i] == '-' : std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
  }
  if (!good) {
    return Fail(Error(Code::kInvalidArgument, fmt::format("\"{}\" is not a UUID", text.substr(0, 50)))
                    .Reason("BAD_UUID")
                    .With("uuid", text.substr(0, 50)));
  }
  std::string uuid = text;
  std::transform(uuid.begin(), uuid.end(), uuid.begin(), [](unsigned char c) { return std::tolower(c); });
  return uuid;
}

std::string NewUuid() {
  std::array<uint8_t, 16> bytes;
  // 16 bytes come whole and at once once the kernel has its seed.
  CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;  // RFC 4122, 4.1.3: version 4
  bytes[8] = (bytes[8] & 0x3f) | 0x80;  // and its variant.
  std::string uuid;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
    uuid += fmt::format("{:02x}", bytes[i]);
  }
  return uuid;
}

}  // namespace berth::mdev
