#include "block/qcow2/entry.h"

namespace berth::block::qcow2 {

Kind KindOf(const Header& header, const L2Entry& entry, unsigned index) {
  if (entry.compressed()) return header.has_data_file() ? Kind::kInvalid : Kind::kCompressed;
  // Offset 0 is the header's, unless the data is in a file of its own: then COPIED says that it is meant.
  const bool placed = entry.host_offset() != 0 || (header.has_data_file() && entry.copied());
  if (placed && !IsAligned(entry.host_offset(), header.cluster_bytes())) return Kind::kInvalid;
  if (!header.extended_l2()) {
    if (entry.value & kZero) return placed ? Kind::kZeroKept : Kind::kZeroPlain;
    return placed ? Kind::kNormal : Kind::kUnallocated;
  }
  const bool allocated = (entry.bitmap >> index) & 1;
  const bool zero = (entry.bitmap >> (kSubclusters + index)) & 1;
  if (allocated && (zero || !placed)) return Kind::kInvalid;
  if (zero) return placed ? Kind::kZeroKept : Kind::kZeroPlain;
  if (allocated) return Kind::kNormal;
  return placed ? Kind::kUnallocatedKept : Kind::kUnallocated;
}

CompressedPlace CompressedPlaceOf(const Header& header, const L2Entry& entry) {
  const unsigned size_shift = 62 - (header.cluster_bits - 8);
  const uint64_t offset = entry.value & ((uint64_t{1} << size_shift) - 1);
  const uint64_t sectors =
      ((entry.value >> size_shift) & ((uint64_t{1} << (header.cluster_bits - 8)) - 1)) + 1;
  return {offset, sectors * kSectorBytes - (offset & (kSectorBytes - 1))};
}

L2Entry CompressedEntry(const Header& header, uint64_t offset, uint64_t bytes) {
  const unsigned size_shift = 62 - (header.cluster_bits - 8);
  const uint64_t sectors = (offset + bytes - 1) / kSectorBytes - offset / kSectorBytes;
  return {kCompressedFlag | offset | sectors << size_shift, 0};
}

}  // namespace berth::block::qcow2
