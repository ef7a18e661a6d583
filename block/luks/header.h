// The header of LUKS1 ("LUKS1 On-Disk Format Specification", version 1.2.3): which cipher, and eight slots
// that each hold the master key under another password.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "block/crypto/disk_cipher.h"
#include "block/image.h"

namespace berth::block::luks {

inline constexpr uint64_t kSectorBytes = 512;
inline constexpr uint64_t kHeaderBytes = 592;
inline constexpr size_t kKeySlots = 8;
inline constexpr size_t kSaltBytes = 32, kDigestBytes = 20;
inline constexpr uint32_t kMaxKeyBytes = 64;
inline constexpr uint32_t kStripes = 4000;
inline constexpr uint32_t kMinIterations = 1000;
// Of all that trying a password may have to derive; some minutes of a processor.
inline constexpr uint64_t kMaxIterations = 1'000'000'000;
// A new slot's, so that eight of them stay below.
inline constexpr uint32_t kMaxNewIterations = 50'000'000;

struct KeySlot {
  bool active = false;
  uint32_t iterations = 0;
  std::array<uint8_t, kSaltBytes> salt{};
  uint32_t material_sector = 0;  // From the header's start.
};

struct Header {
  CipherSpec cipher;
  std::string hash = "sha256";
  uint32_t payload_sector = 0;  // From the header's start.
  uint32_t key_bytes = 0;
  std::array<uint8_t, kDigestBytes> digest{};  // Of the master key.
  std::array<uint8_t, kSaltBytes> digest_salt{};
  uint32_t digest_iterations = 0;
  std::string uuid;
  std::array<KeySlot, kKeySlots> slots{};

  uint64_t payload_bytes() const { return payload_sector * kSectorBytes; }
  // Whole sectors of a slot's key material.
  uint64_t material_bytes() const;
};

// Whether an image begins like one; of `head` 8 bytes are looked at.
bool LooksLikeHeader(std::span<const uint8_t> head);

// Of the header at `at` in `file`, everything checked that a header says of itself.
Result<Header> ReadHeader(Image* file, uint64_t at);
// Nothing else is written. Flushes.
Status WriteHeader(Image* file, uint64_t at, const Header& header);

}  // namespace berth::block::luks
