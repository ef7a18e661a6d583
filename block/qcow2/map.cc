// Looking up where the guest's bytes are, and reading them.
#include <algorithm>
#include <cerrno>

#include "base/pieces.h"
#include "block/qcow2/compression.h"
#include "block/qcow2/image.h"

namespace berth::block::qcow2 {

bool Qcow2Image::BackingIsZero(uint64_t offset) const {
  return backing() == nullptr ? header_.backing_file.empty() || flags_.no_backing
                              : offset >= backing()->size_bytes();
}

int Qcow2Image::PlaceOf(uint64_t offset, SlicePlace* place) {
  const uint64_t l1_index = offset / l2_coverage();
  const uint64_t table = l1_index < l1_.size() ? l1_[l1_index] & kOffsetMask : 0;
  if (!IsAligned(table, header_.cluster_bytes())) return EIO;
  const uint64_t in_table = (offset >> header_.cluster_bits) % header_.l2_entries();
  const uint64_t per_slice = l2_.slice_bytes() / header_.l2_entry_bytes();
  *place = {table == 0 ? 0 : table + in_table / per_slice * l2_.slice_bytes(), in_table % per_slice};
  return 0;
}

int Qcow2Image::Lookup(uint64_t offset, uint64_t length, Mapping* mapping) {
  *mapping = {.offset = offset};
  SlicePlace place;
  if (const int error = PlaceOf(offset, &place); error != 0) return error;
  if (place.slice_offset == 0) {
    mapping->length = std::min(length, l2_coverage() - offset % l2_coverage());
    return 0;
  }
  uint8_t* slice = nullptr;
  if (const int error = l2_.Load(place.slice_offset, &slice); error != 0) return error;

  const uint64_t per_slice = l2_.slice_bytes() / header_.l2_entry_bytes();
  const uint64_t unit = unit_bytes(), units = header_.cluster_bytes() / unit;
  const uint64_t in_cluster = offset - ClusterStart(offset);
  uint64_t at = offset;
  for (uint64_t index = place.index; index < per_slice && at < offset + length; ++index) {
    const L2Entry entry = LoadEntry(header_, slice, index);
    const uint64_t place_of_cluster = entry.host_offset();
    for (uint64_t sub = at == offset ? in_cluster / unit : 0; sub < units && at < offset + length; ++sub) {
      const Kind kind = KindOf(header_, entry, static_cast<unsigned>(sub));
      if (at == offset) {
        mapping->kind = kind;
        mapping->entry = entry;
        mapping->host = HasPlace(kind) ? place_of_cluster + in_cluster : 0;
      } else if (kind != mapping->kind || kind == Kind::kCompressed ||
                 entry.copied() != mapping->entry.copied() ||
                 (HasPlace(kind) &&
                  place_of_cluster + at % header_.cluster_bytes() != mapping->host + (at - offset))) {
        mapping->length = at - offset;
        return 0;
      }
      at =
          kind == Kind::kCompressed ? ClusterStart(at) + header_.cluster_bytes() : AlignDown(at, unit) + unit;
      if (kind == Kind::kCompressed) break;
    }
  }
  mapping->length = std::min(length, at - offset);
  return mapping->kind == Kind::kInvalid ? EIO : 0;
}

Result<Extent> Qcow2Image::Map(uint64_t offset, uint64_t length) {
  Mapping mapping;
  {
    MutexLock lock(mutex_);
    if (const int error = Lookup(offset, length, &mapping); error != 0) {
      return FailErrno(error, "look up offset {}", offset);
    }
  }
  Extent extent{.offset = offset, .length = mapping.length};
  switch (mapping.kind) {
    case Kind::kUnallocated:
    case Kind::kUnallocatedKept:
      break;
    case Kind::kZeroPlain:
    case Kind::kZeroKept:
      extent.allocated = extent.zero = true;
      break;
    case Kind::kCompressed:
      extent.allocated = extent.data = extent.compressed = true;
      break;
    default:
      extent.allocated = extent.data = true;
  }
  if (encryption_) return extent;  // What is stored is not the content; a hole is not zeroes.
  if (HasPlace(mapping.kind)) extent.stored_at = mapping.host;
  extent.ask_file = mapping.kind == Kind::kNormal && PreallocatedSparsely();
  return extent;
}

int Qcow2Image::ReadRange(uint64_t offset, uint64_t length, std::span<const iovec> pieces) {
  std::vector<iovec> part;
  for (uint64_t done = 0; done < length;) {
    Mapping mapping;
    int ticket = 0;
    {
      MutexLock lock(mutex_);
      if (const int error = Lookup(offset + done, length - done, &mapping); error != 0) return error;
      ticket = gate_.Enter();
    }
    std::span<const iovec> now = pieces;
    if (done != 0 || mapping.length != length) {
      SlicePieces(pieces, done, mapping.length, &part);
      now = part;
      mapping.length = 0;
      for (const iovec& piece : part) mapping.length += piece.iov_len;
    }
    const int error = ReadMapped(mapping, now);
    gate_.Exit(ticket);
    if (error != 0) return error;
    done += mapping.length;
  }
  return 0;
}

int Qcow2Image::ReadMapped(const Mapping& mapping, std::span<const iovec> pieces) {
  switch (mapping.kind) {
    case Kind::kUnallocated:
    case Kind::kUnallocatedKept:
      return ReadBacking(*this, mapping.offset, mapping.length, pieces);
    case Kind::kZeroPlain:
    case Kind::kZeroKept:
      ZeroPieces(pieces, 0);
      return 0;
    case Kind::kNormal:
      return ReadStored(mapping.offset, mapping.host, mapping.length, pieces);
    case Kind::kCompressed:
      return ReadCompressed(mapping, pieces);
    case Kind::kInvalid:
      break;
  }
  return EIO;
}

int Qcow2Image::ReadStored(uint64_t guest, uint64_t host, uint64_t length, std::span<const iovec> pieces) {
  if (!encryption_) {
    return data_file()->Perform({.op = Op::kRead, .offset = host, .length = length, .pieces = pieces});
  }
  if (!encryption_->content) return ENOKEY;
  return encryption_->content->Read(data_file(), host, encryption_->TweakOf(guest, host), length, pieces);
}

int Qcow2Image::ReadCompressed(const Mapping& mapping, std::span<const iovec> pieces) {
  const CompressedPlace place = CompressedPlaceOf(header_, mapping.entry);
  thread_local std::vector<uint8_t> packed, cluster;
  packed.resize(place.bytes);
  cluster.resize(header_.cluster_bytes());
  if (const int error = Read(file(), place.offset, packed); error != 0) return error;
  if (!Decompress(header_.compression, packed, cluster)) return EIO;
  CopyToPieces(pieces, 0,
               std::span(cluster).subspan(mapping.offset - ClusterStart(mapping.offset), mapping.length));
  return 0;
}

}  // namespace berth::block::qcow2
