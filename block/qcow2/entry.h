// L2 entries, standard and extended, taken apart. Pure.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "block/qcow2/header.h"

namespace berth::block::qcow2 {

enum class Kind : uint8_t {
  kUnallocated,
  kUnallocatedKept,  // Reads from the backing image, but has a place of its own (subclusters).
  kZeroPlain,
  kZeroKept,  // Reads as zeroes, and has a place of its own.
  kNormal,
  kCompressed,
  kInvalid,
};

struct L2Entry {
  uint64_t value = 0;
  uint64_t bitmap = 0;  // Extended entries: allocated in the low half, zero in the high half.

  uint64_t host_offset() const { return value & kOffsetMask; }
  bool copied() const { return (value & kCopied) != 0; }
  bool compressed() const { return (value & kCompressedFlag) != 0; }
};

inline bool HasPlace(Kind kind) {
  return kind == Kind::kNormal || kind == Kind::kZeroKept || kind == Kind::kUnallocatedKept;
}

// What subcluster `index` (0 without extended entries) of the cluster is.
Kind KindOf(const Header& header, const L2Entry& entry, unsigned index);

struct CompressedPlace {
  uint64_t offset = 0;
  uint64_t bytes = 0;  // At most: to the end of the last sector.
};
CompressedPlace CompressedPlaceOf(const Header& header, const L2Entry& entry);
// `bytes` of compressed data at `offset`.
L2Entry CompressedEntry(const Header& header, uint64_t offset, uint64_t bytes);

// Of a table's slice in memory.
inline L2Entry LoadEntry(const Header& header, const uint8_t* slice, uint64_t index) {
  const uint8_t* at = slice + index * header.l2_entry_bytes();
  return {LoadBe<uint64_t>(at), header.extended_l2() ? LoadBe<uint64_t>(at + 8) : 0};
}
inline void StoreEntry(const Header& header, uint8_t* slice, uint64_t index, const L2Entry& entry) {
  uint8_t* at = slice + index * header.l2_entry_bytes();
  StoreBe<uint64_t>(at, entry.value);
  if (header.extended_l2()) StoreBe<uint64_t>(at + 8, entry.bitmap);
}

}  // namespace berth::block::qcow2
