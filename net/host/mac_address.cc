#include "net/host/mac_address.h"

#include <charconv>

#include "net/host/stable_hash.h"

namespace berth::net {

Result<MacAddress> MacAddress::Parse(std::string_view text) {
  constexpr size_t kLength = 17;
  MacAddress address;
  bool good = text.size() == kLength;
  for (size_t i = 0; good && i < address.bytes.size(); ++i) {
    const char* digits = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, address.bytes[i], 16);
    good = error == std::errc() && end == digits + 2 && (i == 5 || *end == ':');
  }
  if (good) return address;
  return Fail(Error(Code::kInvalidArgument,
                    fmt::format("\"{}\" is not a MAC address such as 52:54:00:12:34:56", text.substr(0, 40)))
                  .Reason("BAD_MAC_ADDRESS")
                  .With("mac", std::string(text.substr(0, 40))));
}

std::string MacAddress::ToString() const { return fmt::format("{:02x}", fmt::join(bytes, ":")); }

MacAddress MacAddressFor(std::string_view seed) {
  const uint64_t hash = StableHash(seed);
  MacAddress address;
  for (size_t i = 0; i < address.bytes.size(); ++i) address.bytes[i] = static_cast<uint8_t>(hash >> (8 * i));
  address.bytes[0] = (address.bytes[0] & 0xfc) | 0x02;  // IEEE 802: locally administered, not a group.
  return address;
}

}  // namespace berth::net
