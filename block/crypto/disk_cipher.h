// Encryption of disks, sector by sector: a block cipher, and the initialization vector made of a sector's
// number.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "block/crypto/library.h"

namespace berth::block {

inline constexpr uint64_t kCipherSectorBytes = 512;

// As dm-crypt and LUKS name it: "aes", "xts-plain64", "cbc-essiv:sha256".
struct CipherSpec {
  std::string algorithm = "aes";
  std::string mode = "xts";    // cbc, ctr, ecb, xts.
  std::string iv = "plain64";  // plain, plain64, essiv; empty with ecb.
  std::string iv_hash{};       // Of essiv.

  std::string ModeText() const;
};
// The second part of the name.
Result<CipherSpec> ParseCipherSpec(std::string_view algorithm, std::string_view mode_text);

// Any thread.
class DiskCipher {
 public:
  static Result<std::unique_ptr<DiskCipher>> Create(const CipherSpec& spec, std::span<const uint8_t> key);

  // Whole sectors in place, the first of which has the number `sector`. False: the library failed.
  bool Encrypt(uint64_t sector, std::span<uint8_t> bytes) const;
  bool Decrypt(uint64_t sector, std::span<uint8_t> bytes) const;

 private:
  enum class IvKind : uint8_t { kZero, kPlain, kPlain64, kEssiv };
  DiskCipher(IvKind iv, std::unique_ptr<BlockCipher> cipher, std::unique_ptr<BlockCipher> essiv)
      : iv_(iv), cipher_(std::move(cipher)), essiv_(std::move(essiv)) {}
  bool MakeIv(uint64_t sector, std::span<uint8_t> iv) const;

  const IvKind iv_;
  const std::unique_ptr<BlockCipher> cipher_;
  const std::unique_ptr<BlockCipher> essiv_;  // Of kEssiv.
};

}  // namespace berth::block
