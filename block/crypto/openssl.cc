#include "block/crypto/openssl.h"

#include <string>
#include <vector>

#include <openssl/evp.h>

#include "base/mutex.h"
#include "block/crypto/library.h"

namespace berth::block {
namespace {

struct Freer {
  void operator()(EVP_CIPHER* cipher) const { ::EVP_CIPHER_free(cipher); }
  void operator()(EVP_CIPHER_CTX* context) const { ::EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_MD* digest) const { ::EVP_MD_free(digest); }
};
using UniqueCipher = std::unique_ptr<EVP_CIPHER, Freer>;
using UniqueContext = std::unique_ptr<EVP_CIPHER_CTX, Freer>;
using UniqueDigest = std::unique_ptr<EVP_MD, Freer>;

// A context has the key's schedule and is one thread's at a time: those that are not in use wait for the
// next.
class OpenSslCipher final : public BlockCipher {
 public:
  OpenSslCipher(UniqueCipher cipher, std::span<const uint8_t> key)
      : cipher_(std::move(cipher)), key_(key.begin(), key.end()) {}

  bool Encrypt(std::span<const uint8_t> iv, std::span<uint8_t> bytes) const override {
    return Run(&encrypting_, 1, iv, bytes);
  }
  bool Decrypt(std::span<const uint8_t> iv, std::span<uint8_t> bytes) const override {
    return Run(&decrypting_, 0, iv, bytes);
  }

 private:
  using Contexts = std::vector<UniqueContext>;

  bool Run(Contexts* idle, int encrypt, std::span<const uint8_t> iv, std::span<uint8_t> bytes) const {
    UniqueContext context = TakeContext(idle, encrypt);
    int done = 0;
    const bool good = context &&
                      ::EVP_CipherInit_ex2(context.get(), nullptr, nullptr, iv.data(), -1, nullptr) == 1 &&
                      ::EVP_CipherUpdate(context.get(), bytes.data(), &done, bytes.data(),
                                         static_cast<int>(bytes.size())) == 1 &&
                      done == static_cast<int>(bytes.size());
    if (!good) return false;
    MutexLock lock(mutex_);
    idle->push_back(std::move(context));
    return true;
  }

  UniqueContext TakeContext(Contexts* idle, int encrypt) const EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (!idle->empty()) {
        UniqueContext context = std::move(idle->back());
        idle->pop_back();
        return context;
      }
    }
    UniqueContext context(::EVP_CIPHER_CTX_new());
    if (!context ||
        ::EVP_CipherInit_ex2(context.get(), cipher_.get(), key_.data(), nullptr, encrypt, nullptr) != 1) {
      return nullptr;
    }
    ::EVP_CIPHER_CTX_set_padding(context.get(), 0);
    return context;
  }

  const UniqueCipher cipher_;
  const SecretBytes key_;
  mutable Mutex mutex_;
  mutable Contexts encrypting_, decrypting_;  // Under the mutex.
};

Result<UniqueDigest> FindDigest(std::string_view hash) {
  UniqueDigest digest(::EVP_MD_fetch(nullptr, std::string(hash).c_str(), nullptr));
  if (!digest) return Fail(Code::kUnimplemented, "Hash algorithm '{}' is not supported", hash);
  return digest;
}

class OpenSsl final : public CryptoLibrary {
 public:
  Result<std::unique_ptr<BlockCipher>> MakeCipher(std::string_view algorithm, std::string_view mode,
                                                  std::span<const uint8_t> key) const override {
    const size_t bits = key.size() * 8 / (mode == "xts" ? 2 : 1);
    const std::string name = fmt::format("{}-{}-{}", algorithm, bits, mode);
    UniqueCipher cipher;
    if (algorithm == "aes") cipher.reset(::EVP_CIPHER_fetch(nullptr, name.c_str(), nullptr));
    if (!cipher || ::EVP_CIPHER_get_key_length(cipher.get()) != static_cast<int>(key.size())) {
      return Fail(Code::kUnimplemented, "Algorithm '{}-{}' with mode '{}' is not supported", algorithm, bits,
                  mode);
    }
    return std::make_unique<OpenSslCipher>(std::move(cipher), key);
  }

  Result<size_t> DigestBytes(std::string_view hash) const override {
    return static_cast<size_t>(::EVP_MD_get_size(TRY(FindDigest(hash)).get()));
  }

  Status Digest(std::string_view hash, std::span<const uint8_t> bytes,
                std::span<uint8_t> out) const override {
    const UniqueDigest digest = TRY(FindDigest(hash));
    if (::EVP_Digest(bytes.data(), bytes.size(), out.data(), nullptr, digest.get(), nullptr) != 1) {
      return Fail(Code::kInternal, "Unable to calculate hash '{}'", hash);
    }
    return Ok();
  }

  Status DeriveKey(std::string_view hash, std::span<const uint8_t> password, std::span<const uint8_t> salt,
                   uint32_t iterations, std::span<uint8_t> out) const override {
    const UniqueDigest digest = TRY(FindDigest(hash));
    if (iterations > INT32_MAX ||
        ::PKCS5_PBKDF2_HMAC(reinterpret_cast<const char*>(password.data()), static_cast<int>(password.size()),
                            salt.data(), static_cast<int>(salt.size()), static_cast<int>(iterations),
                            digest.get(), static_cast<int>(out.size()), out.data()) != 1) {
      return Fail(Code::kInternal, "Unable to derive a key from the password");
    }
    return Ok();
  }
};

}  // namespace

void UseOpenSsl() {
  static const OpenSsl library;
  SetCryptoLibrary(&library);
}

}  // namespace berth::block
