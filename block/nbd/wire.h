// Messages of the handshake, put together and taken apart.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace berth::block::nbd {

template <std::unsigned_integral T>
void AppendBe(std::string* bytes, T value) {
  char wire[sizeof(T)];
  StoreBe<T>(wire, value);
  bytes->append(wire, sizeof(T));
}
// With its length, 32 bits, before it.
inline void AppendString(std::string* bytes, std::string_view text) {
  AppendBe<uint32_t>(bytes, static_cast<uint32_t>(text.size()));
  bytes->append(text);
}

// From the front of a message; nothing where it is too short, which `whole` then remembers.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : left_(bytes) {}
  template <std::unsigned_integral T>
  T Take() {
    const std::string_view bytes = TakeBytes(sizeof(T));
    return bytes.size() == sizeof(T) ? LoadBe<T>(bytes.data()) : T{};
  }
  std::string_view TakeBytes(size_t size) {
    if (size > left_.size()) {
      whole_ = false;
      return {};
    }
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }
  std::string_view rest() const { return left_; }
  bool whole() const { return whole_; }

 private:
  std::string_view left_;
  bool whole_ = true;
};

}  // namespace berth::block::nbd
