// What the block layer needs of cryptography. A library does all of it; this one is for programs without one,
// which can do everything but open what is encrypted.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/error.h"
#include "block/crypto/secret.h"

namespace berth::block {

// A block cipher in some mode with its key. Any thread.
class BlockCipher {
 public:
  virtual ~BlockCipher() = default;
  // In place, without padding. `iv` has 16 bytes, `bytes` are whole blocks of 16. False: the library failed.
  virtual bool Encrypt(std::span<const uint8_t> iv, std::span<uint8_t> bytes) const = 0;
  virtual bool Decrypt(std::span<const uint8_t> iv, std::span<uint8_t> bytes) const = 0;
};

inline constexpr size_t kCipherBlockBytes = 16;

class CryptoLibrary {
 public:
  virtual ~CryptoLibrary() = default;
  // aes; cbc, ctr, ecb or xts, which takes two keys in one. UNIMPLEMENTED if it does not have that.
  virtual Result<std::unique_ptr<BlockCipher>> MakeCipher(std::string_view algorithm, std::string_view mode,
                                                          std::span<const uint8_t> key) const = 0;
  // Of a hash function by its name ("sha256"); UNIMPLEMENTED.
  virtual Result<size_t> DigestBytes(std::string_view hash) const = 0;
  // `out` has DigestBytes.
  virtual Status Digest(std::string_view hash, std::span<const uint8_t> bytes,
                        std::span<uint8_t> out) const = 0;
  // PBKDF2 of RFC 8018 with HMAC over the hash.
  virtual Status DeriveKey(std::string_view hash, std::span<const uint8_t> password,
                           std::span<const uint8_t> salt, uint32_t iterations,
                           std::span<uint8_t> out) const = 0;
};

// The program's; before any thread may open an image. It stays.
void SetCryptoLibrary(const CryptoLibrary* library);
// UNIMPLEMENTED if the program has none.
Result<const CryptoLibrary*> TheCryptoLibrary();

}  // namespace berth::block
