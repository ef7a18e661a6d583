// Secrets by name (`--object secret,id=…`), and memory for keys that does not outlive them.
#pragma once

#include <string.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::block {

// Memory is zeroed before it is given back.
template <typename T>
struct WipingAllocator : std::allocator<T> {
  WipingAllocator() = default;
  template <typename U>
  explicit WipingAllocator(const WipingAllocator<U>&) {}
  void deallocate(T* memory, size_t count) {
    ::explicit_bzero(memory, count * sizeof(T));
    std::allocator<T>::deallocate(memory, count);
  }
  template <typename U>
  struct rebind {
    using other = WipingAllocator<U>;
  };
};
using SecretBytes = std::vector<uint8_t, WipingAllocator<uint8_t>>;

// Process-wide; any thread. ALREADY_EXISTS.
Status DefineSecret(const std::string& id, SecretBytes secret);
// NOT_FOUND.
Result<SecretBytes> FindSecret(const std::string& id);

// RFC 4648, with padding; white space is nothing.
Result<SecretBytes> DecodeBase64(std::string_view text);

}  // namespace berth::block
