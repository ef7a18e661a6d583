// An Ethernet address.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::net {

struct MacAddress {
  std::array<uint8_t, 6> bytes{};

  // "52:54:00:12:34:56", in either case. INVALID_ARGUMENT, BAD_MAC_ADDRESS, for anything else.
  static Result<MacAddress> Parse(std::string_view text);
  std::string ToString() const;

  // Whether an interface may have it: not a group address, not all zeros.
  bool is_unicast() const { return (bytes[0] & 1) == 0 && *this != MacAddress{}; }
  friend bool operator==(const MacAddress&, const MacAddress&) = default;
};

// A locally administered address that is always the same for the same text (a guest's UID and the interface's
// name).
MacAddress MacAddressFor(std::string_view seed);

}  // namespace berth::net
