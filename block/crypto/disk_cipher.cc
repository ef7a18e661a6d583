#include "block/crypto/disk_cipher.h"

#include <array>

#include "base/bytes.h"

namespace berth::block {

std::string CipherSpec::ModeText() const {
  std::string text = mode;
  if (!iv.empty()) text += "-" + iv;
  if (!iv_hash.empty()) text += ":" + iv_hash;
  return text;
}

Result<CipherSpec> ParseCipherSpec(std::string_view algorithm, std::string_view mode_text) {
  CipherSpec spec{.algorithm = std::string(algorithm), .iv = ""};
  const size_t dash = mode_text.find('-');
  spec.mode = mode_text.substr(0, dash);
  if (dash != mode_text.npos) {
    const std::string_view iv = mode_text.substr(dash + 1);
    const size_t colon = iv.find(':');
    spec.iv = iv.substr(0, colon);
    if (colon != iv.npos) spec.iv_hash = iv.substr(colon + 1);
  } else if (spec.mode != "ecb") {
    return Fail(Code::kInvalidArgument, "Unexpected cipher mode string format '{}'", mode_text);
  }
  return spec;
}

Result<std::unique_ptr<DiskCipher>> DiskCipher::Create(const CipherSpec& spec, std::span<const uint8_t> key) {
  const CryptoLibrary* library = TRY(TheCryptoLibrary());
  IvKind iv = IvKind::kZero;
  std::unique_ptr<BlockCipher> essiv;
  if (spec.iv == "plain") {
    iv = IvKind::kPlain;
  } else if (spec.iv == "plain64") {
    iv = IvKind::kPlain64;
  } else if (spec.iv == "essiv") {
    // The sector's number, encrypted with a hash of the key.
    iv = IvKind::kEssiv;
    SecretBytes hashed(TRY(library->DigestBytes(spec.iv_hash)));
    TRY(library->Digest(spec.iv_hash, key, hashed));
    essiv = TRY(library->MakeCipher(spec.algorithm, "ecb", hashed));
  } else if (!spec.iv.empty()) {
    return Fail(Code::kUnimplemented, "IV generator '{}' is not supported", spec.iv);
  }
  auto cipher = TRY(library->MakeCipher(spec.algorithm, spec.mode, key));
  return std::unique_ptr<DiskCipher>(new DiskCipher(iv, std::move(cipher), std::move(essiv)));
}

bool DiskCipher::MakeIv(uint64_t sector, std::span<uint8_t> iv) const {
  switch (iv_) {
    case IvKind::kZero:
      return true;
    case IvKind::kPlain:
      StoreLe(iv.data(), static_cast<uint32_t>(sector));
      return true;
    case IvKind::kPlain64:
      StoreLe(iv.data(), sector);
      return true;
    case IvKind::kEssiv:
      StoreLe(iv.data(), sector);
      return essiv_->Encrypt(std::array<uint8_t, kCipherBlockBytes>{}, iv);
  }
  return false;
}

bool DiskCipher::Encrypt(uint64_t sector, std::span<uint8_t> bytes) const {
  for (; !bytes.empty(); bytes = bytes.subspan(kCipherSectorBytes), ++sector) {
    std::array<uint8_t, kCipherBlockBytes> iv{};
    if (!MakeIv(sector, iv) || !cipher_->Encrypt(iv, bytes.first(kCipherSectorBytes))) return false;
  }
  return true;
}

bool DiskCipher::Decrypt(uint64_t sector, std::span<uint8_t> bytes) const {
  for (; !bytes.empty(); bytes = bytes.subspan(kCipherSectorBytes), ++sector) {
    std::array<uint8_t, kCipherBlockBytes> iv{};
    if (!MakeIv(sector, iv) || !cipher_->Decrypt(iv, bytes.first(kCipherSectorBytes))) return false;
  }
  return true;
}

}  // namespace berth::block
