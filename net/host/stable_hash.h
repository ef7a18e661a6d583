// A number made of a text, the same in every version of Berth and on every host: names and addresses are
// derived of it.
#pragma once

#include <cstdint>
#include <string_view>

namespace berth::net {

// FNV-1a of 64 bits, then mixed so that every bit depends on every byte.
constexpr uint64_t StableHash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
  hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
  return hash ^ hash >> 33;
}

}  // namespace berth::net
