#include "block/crypto/secret.h"

#include "block/named_objects.h"

namespace berth::block {
namespace {

NamedObjects<SecretBytes>& AllSecrets() {
  static NamedObjects<SecretBytes> all;
  return all;
}

int SextetOf(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

}  // namespace

Status DefineSecret(const std::string& id, SecretBytes secret) {
  return AllSecrets().Define(id, std::move(secret));
}

Result<SecretBytes> FindSecret(const std::string& id) {
  auto secret = AllSecrets().Find(id);
  if (!secret) return Fail(Code::kNotFound, "No secret with id '{}'", id);
  return *std::move(secret);
}

Result<SecretBytes> DecodeBase64(std::string_view text) {
  SecretBytes bytes;
  uint32_t bits = 0;
  size_t sextets = 0, padding = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == ' ' || c == '\t') continue;
    const int sextet = SextetOf(c);
    if (c == '=') {
      ++padding;
    } else if (sextet < 0 || padding != 0) {
      return Fail(Code::kInvalidArgument, "Base64 data contains invalid characters");
    } else {
      bits = bits << 6 | static_cast<uint32_t>(sextet);
      if (++sextets % 4 != 1) bytes.push_back(static_cast<uint8_t>(bits >> (8 - sextets % 4 * 2) % 8));
    }
  }
  if ((sextets + padding) % 4 != 0 || padding > 2) {
    return Fail(Code::kInvalidArgument, "Base64 data is not valid");
  }
  return bytes;
}

}  // namespace berth::block
