// A CryptoLibrary that is quick and hides nothing: for fuzzers.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "block/crypto/library.h"

namespace berth::block {

class FakeCipher final : public BlockCipher {
 public:
  explicit FakeCipher(std::span<const uint8_t> key) : key_(key.begin(), key.end()) {}
  bool Encrypt(std::span<const uint8_t> iv, std::span<uint8_t> bytes) const override {
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] ^= key_[i % key_.size()] ^ iv[i % iv.size()];
    return true;
  }
  bool Decrypt(std::span<const uint8_t> iv, std::span<uint8_t> bytes) const override {
    return Encrypt(iv, bytes);
  }

 private:
  const SecretBytes key_;
};

class FakeCrypto final : public CryptoLibrary {
 public:
  Result<std::unique_ptr<BlockCipher>> MakeCipher(std::string_view algorithm, std::string_view,
                                                  std::span<const uint8_t> key) const override {
    if (algorithm != "aes" || key.size() < 16) return Fail(Code::kUnimplemented, "no such cipher");
    return std::make_unique<FakeCipher>(key);
  }
  Result<size_t> DigestBytes(std::string_view hash) const override {
    if (!hash.starts_with("sha")) return Fail(Code::kUnimplemented, "no such hash");
    return 20;
  }
  Status Digest(std::string_view, std::span<const uint8_t> bytes, std::span<uint8_t> out) const override {
    Mix(bytes, 1, out);
    return Ok();
  }
  Status DeriveKey(std::string_view, std::span<const uint8_t> password, std::span<const uint8_t> salt,
                   uint32_t iterations, std::span<uint8_t> out) const override {
    Mix(password, iterations, out);
    for (size_t i = 0; i < out.size(); ++i) out[i] ^= salt[i % salt.size()];
    return Ok();
  }

 private:
  static void Mix(std::span<const uint8_t> bytes, uint32_t start, std::span<uint8_t> out) {
    uint32_t state = start;
    for (const uint8_t byte : bytes) state = state * 31 + byte;
    for (uint8_t& byte : out) byte = static_cast<uint8_t>((state = state * 1103515245 + 12345) >> 16);
  }
};

}  // namespace berth::block
