// Where the guest's bytes are, for who must not wait.
#include <algorithm>

#include "block/qcow2/image.h"

namespace berth::block::qcow2 {

Location Qcow2Image::Locate(Op op, uint64_t offset, uint64_t length) {
  // Whoever holds it may be reading a table.
  if (!mutex_.TryLock()) return {};
  const Location location = LocateLocked(op, offset, length);
  mutex_.Unlock();
  return location;
}

Location Qcow2Image::LocateLocked(Op op, uint64_t offset, uint64_t length) {
  using enum Location::Kind;
  // Blocks that several clusters share are for those who take turns at them.
  const bool whole_blocks = IsAligned(header_.cluster_bytes(), limits_.block_size_bytes);
  if (header_.encryption != 0 || !whole_blocks || length == 0) return {};
  const bool write = op != Op::kRead;
  if (write) {
    if (!prepared_ || limits_.read_only) return {};
    const Range clusters{ClusterStart(offset),
                         AlignUp(offset + length, header_.cluster_bytes()) - ClusterStart(offset)};
    for (const Allocation& allocation : allocations_) {
      if (allocation.guest.Overlaps(clusters)) return {};
    }
  }

  SlicePlace place;
  Mapping mapping;
  if (PlaceOf(offset, &place) != 0) return {};
  if (place.slice_offset != 0 && l2_.Find(place.slice_offset) == nullptr) return {};
  if (Lookup(offset, length, &mapping) != 0 || mapping.length < length) return {};
  switch (mapping.kind) {
    case Kind::kNormal:
      if (write && (!mapping.entry.copied() || DataConflicts(mapping.host, length))) return {};
      if (write) MarkBitmaps(offset, length);
      return {.kind = kStored, .file = data_file(), .offset = mapping.host, .ticket = gate_.Enter()};
    case Kind::kUnallocated:
    case Kind::kUnallocatedKept:
      if (write) return {};
      if (BackingIsZero(offset)) return {.kind = kZero};
      if (backing() == nullptr || backing()->size_bytes() < offset + length) return {};
      return {.kind = kBeneath};
    case Kind::kZeroPlain:
    case Kind::kZeroKept:
      return write ? Location{} : Location{.kind = kZero};
    case Kind::kCompressed:
    case Kind::kInvalid:
      break;
  }
  return {};
}

}  // namespace berth::block::qcow2
