#include "block/crypto/library.h"

namespace berth::block {
namespace {

const CryptoLibrary* the_library = nullptr;

}  // namespace

void SetCryptoLibrary(const CryptoLibrary* library) { the_library = library; }

Result<const CryptoLibrary*> TheCryptoLibrary() {
  if (the_library == nullptr) {
    return Fail(Code::kUnimplemented, "this program has no ciphers: encrypted images are for berth-img");
  }
  return the_library;
}

}  // namespace berth::block
