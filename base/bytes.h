// Numbers in byte buffers, alignment, and ranges of addresses. All pure; any thread.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace berth {

inline constexpr uint64_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;

static_assert(std::endian::native == std::endian::little, "the host is x86-64");

// Little-endian loads and stores at any alignment. The caller has checked that the bytes are there.
template <std::unsigned_integral T>
T LoadLe(const void* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}
template <std::unsigned_integral T>
void StoreLe(void* bytes, T value) {
  std::memcpy(bytes, &value, sizeof(T));
}

// The same, big-endian.
template <std::unsigned_integral T>
T LoadBe(const void* bytes) {
  T value = LoadLe<T>(bytes);
  if constexpr (sizeof(T) == 2) value = __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) value = __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) value = __builtin_bswap64(value);
  return value;
}
template <std::unsigned_integral T>
void StoreBe(void* bytes, T value) {
  StoreLe<T>(bytes, LoadBe<T>(&value));
}

// A value of `size` (1, 2, 4 or 8) bytes, little-endian, and the reverse; the rest of the value is dropped.
uint64_t LoadLeSized(const void* bytes, unsigned size);
void StoreLeSized(void* bytes, unsigned size, uint64_t value);

// All ones in the low `size` bytes: what a bus answers where nothing is there.
constexpr uint64_t AllOnes(unsigned size_bytes) {
  return size_bytes >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size_bytes)) - 1;
}

constexpr bool IsPowerOfTwo(uint64_t value) { return value != 0 && (value & (value - 1)) == 0; }
// `alignment` is a power of two. AlignUp wraps to 0 past the top of the address space.
constexpr uint64_t AlignDown(uint64_t value, uint64_t alignment) { return value & ~(alignment - 1); }
constexpr uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return AlignDown(value + alignment - 1, alignment);
}
constexpr bool IsAligned(uint64_t value, uint64_t alignment) { return (value & (alignment - 1)) == 0; }

// A half-open range of addresses or offsets. Never wraps: start + size <= 2^64 - 1.
struct Range {
  uint64_t start = 0;
  uint64_t size = 0;

  constexpr uint64_t end() const { return start + size; }
  constexpr bool Contains(uint64_t address) const { return address >= start && address - start < size; }
  // Whether [address, address + length) lies inside; right for every value of both.
  constexpr bool Contains(uint64_t address, uint64_t length) const {
    return address >= start && length <= size && address - start <= size - length;
  }
  constexpr bool Overlaps(const Range& other) const {
    return size != 0 && other.size != 0 && start < other.end() && other.start < end();
  }
  friend constexpr bool operator==(const Range&, const Range&) = default;
};

// "64 MiB", "1.5 GiB", "513 bytes": for messages.
std::string HumanSize(uint64_t size_bytes);

}  // namespace berth
