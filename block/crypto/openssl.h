// CryptoLibrary by OpenSSL.
#pragma once

namespace berth::block {

void UseOpenSsl();

}  // namespace berth::block
