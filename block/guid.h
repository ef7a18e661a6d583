// Identifiers of 16 bytes as images store them.
#pragma once

#include <sys/random.h>

#include <array>
#include <cstdint>

#include "base/error.h"

namespace berth::block {

using Guid = std::array<uint8_t, 16>;

// Version 4 of RFC 4122.
inline Guid RandomGuid() {
  Guid guid{};
  CHECK(::getrandom(guid.data(), guid.size(), 0) == static_cast<ssize_t>(guid.size()));
  guid[6] = (guid[6] & 0x0f) | 0x40;
  guid[8] = (guid[8] & 0x3f) | 0x80;
  return guid;
}

}  // namespace berth::block
