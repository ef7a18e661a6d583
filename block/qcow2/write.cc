// Writing: in place where a cluster is the image's own, else into new clusters with copies of what surrounds
// it.
#include <algorithm>
#include <cerrno>

#include "base/pieces.h"
#include "block/qcow2/image.h"

namespace berth::block::qcow2 {
namespace {

uint64_t LengthOf(std::span<const iovec> pieces) {
  uint64_t length = 0;
  for (const iovec& piece : pieces) length += piece.iov_len;
  return length;
}

}  // namespace

int Qcow2Image::Perform(const Request& request) {
  if (const int error = CheckRequest(request, size_, limits_.read_only); error != 0) return error;
  switch (request.op) {
    case Op::kRead:
      return ReadRange(request.offset, request.length, request.pieces);
    case Op::kFlush:
      return limits_.read_only ? 0 : FlushMetadata();
    default:
      break;
  }
  if (request.length == 0) return 0;
  if (const int error = PrepareToChange(); error != 0) return error;
  if (has_bitmaps_) RecordWrite(request.offset, request.length);
  switch (request.op) {
    case Op::kWrite:
      return WriteRange(request);
    case Op::kWriteZeroes:
      return ZeroRange(request);
    default:
      return DiscardRange(request.offset, request.length);
  }
}

int Qcow2Image::WriteRange(const Request& request) {
  if (const int error = WriteData(request.offset, request.length, request.pieces); error != 0) return error;
  // A write in place needs it, too: what maps the place may be in memory only.
  return request.fua ? FlushMetadata() : 0;
}

int Qcow2Image::WriteData(uint64_t offset, uint64_t length, std::span<const iovec> pieces) {
  std::vector<iovec> part;
  for (uint64_t done = 0; done < length;) {
    std::span<const iovec> now = pieces;
    uint64_t now_length = length;
    const auto slice = [&](uint64_t limit) {
      SlicePieces(pieces, done, limit, &part);
      now = part;
      now_length = LengthOf(part);
    };
    if (done != 0) slice(length - done);
    WritePlan plan;
    int error = PlanWrite(offset + done, now_length, &plan);
    if (error != 0) return error;
    if (plan.length < now_length) slice(plan.length);
    if (plan.in_place) {
      error = WriteStored(offset + done, plan.host, now_length, now);
      gate_.Exit(plan.ticket);
    } else {
      error = FillAllocation(*plan.allocation, offset + done, now_length, now);
      error = FinishAllocation(plan.allocation, offset + done, now_length, error);
    }
    if (error != 0) return error;
    done += now_length;
  }
  return 0;
}

void Qcow2Image::WaitForTurn(MutexLock* lock, uint64_t offset, uint64_t* length) {
  for (;;) {
    const Range cluster{ClusterStart(offset), header_.cluster_bytes()};
    uint64_t end = offset + *length;
    bool taken = false;
    for (const Allocation& other : allocations_) {
      taken |= other.guest.Overlaps(cluster);
      if (other.guest.start >= cluster.end()) end = std::min(end, other.guest.start);
    }
    if (!taken) {
      *length = end - offset;
      return;
    }
    lock->Wait(allocation_done_);
  }
}

bool Qcow2Image::DataConflicts(uint64_t host, uint64_t length) {
  return !data_file_ && metadata_.Conflict(host, length, Section::kNone) != Section::kNone;
}

int Qcow2Image::PlanWrite(uint64_t offset, uint64_t length, WritePlan* plan) {
  MutexLock lock(mutex_);
  WaitForTurn(&lock, offset, &length);
  Mapping mapping;
  if (const int error = Lookup(offset, length, &mapping); error != 0) return error;
  if (mapping.kind == Kind::kNormal && mapping.entry.copied()) {
    if (DataConflicts(mapping.host, mapping.length)) return EIO;
    *plan = {.length = mapping.length, .host = mapping.host, .ticket = gate_.Enter(), .in_place = true};
    return 0;
  }
  if (const int error = EnsureTable(offset); error != 0) return error;
  return PlanAllocation(offset, length, mapping, plan);
}

int Qcow2Image::PlanAllocation(uint64_t offset, uint64_t length, const Mapping& mapping, WritePlan* plan) {
  const uint64_t cluster = header_.cluster_bytes(), start = ClusterStart(offset);
  const bool placed = !mapping.entry.compressed() && (mapping.entry.host_offset() != 0 ||
                                                      (header_.has_data_file() && mapping.entry.copied()));
  Allocation allocation{
      .guest = {start, cluster}, .head_unit = CopyUnit(mapping.entry), .tail_unit = CopyUnit(mapping.entry)};
  if (placed && mapping.entry.copied()) {
    allocation.reuses = true;
    allocation.head_unit = allocation.tail_unit = unit_bytes();
    allocation.host = mapping.entry.host_offset();
    if (DataConflicts(allocation.host, cluster)) return EIO;
  } else {
    SlicePlace place;
    uint8_t* slice = nullptr;
    if (const int error = PlaceOf(offset, &place); error != 0) return error;
    if (const int error = l2_.Load(place.slice_offset, &slice); error != 0) return error;
    const uint64_t per_slice = l2_.slice_bytes() / header_.l2_entry_bytes();
    uint64_t wanted = 1;
    for (; start + wanted * cluster < offset + length && place.index + wanted < per_slice; ++wanted) {
      const L2Entry next = LoadEntry(header_, slice, place.index + wanted);
      if (next.copied()) break;  // Has a place.
    }
    uint64_t got = 0;
    if (header_.has_data_file()) {
      allocation.host = start;  // Where the guest has it: the file can be read as a raw image.
      got = wanted;
    } else if (const int error = AllocateClusters(wanted, false, &allocation.host, &got, &allocation.fresh);
               error != 0) {
      return error;
    }
    allocation.guest.size = got * cluster;
    allocation.tail_unit = CopyUnit(LoadEntry(header_, slice, place.index + got - 1));
  }
  allocations_.push_back(allocation);
  *plan = {.length = std::min(length, allocation.guest.end() - offset),
           .allocation = std::prev(allocations_.end())};
  return 0;
}

int Qcow2Image::AllocateClusters(uint64_t wanted, bool all, uint64_t* offset, uint64_t* clusters,
                                 bool* fresh) {
  if (const int error = refcounts_.Allocate(wanted, all, offset, clusters); error != 0) return error;
  *fresh = *offset >= fresh_from_;
  if (fresh_from_ != UINT64_MAX) {
    const uint64_t table_end =
        header_.refcount_table_offset + (uint64_t{header_.refcount_table_clusters} << header_.cluster_bits);
    fresh_from_ = std::max({fresh_from_, *offset + *clusters * header_.cluster_bytes(), table_end});
  }
  return 0;
}

// A table of this image's own for the entry of `offset`: a new one, or a copy of one that a snapshot shares.
int Qcow2Image::EnsureTable(uint64_t offset) {
  const uint64_t l1_index = offset / l2_coverage();
  if (l1_index >= l1_.size()) return EIO;
  const uint64_t old = l1_[l1_index] & kOffsetMask;
  if (old != 0 && (l1_[l1_index] & kCopied) != 0) {
    // An image whose table is where something else is: nothing may be written there.
    return metadata_.Conflict(old, header_.cluster_bytes(), Section::kL2) == Section::kNone ? 0 : EIO;
  }
  std::vector<uint8_t> table(header_.cluster_bytes());
  for (uint64_t at = 0; old != 0 && at < table.size(); at += l2_.slice_bytes()) {
    uint8_t* slice = nullptr;
    if (const int error = l2_.Load(old + at, &slice); error != 0) return error;
    std::copy_n(slice, l2_.slice_bytes(), table.begin() + static_cast<ptrdiff_t>(at));
  }
  uint64_t place = 0, clusters = 0;
  bool fresh = false;
  if (const int error = AllocateClusters(1, true, &place, &clusters, &fresh); error != 0) return error;
  l2_.Drop(place, table.size());
  if (const int error = Write(file(), place, table); error != 0) {
    refcounts_.Change(place, table.size(), -1);
    return error;
  }
  if (old != 0) {
    l2_.Drop(old, table.size());
    released_.push_back({old, table.size()});
  }
  metadata_.Add(place, table.size(), Section::kL2);
  l1_[l1_index] = place | kCopied;
  dirty_l1_sectors_.insert(l1_index * 8 / kSectorBytes);
  return 0;
}

// A cluster that gets its first place takes along the rest of the subclusters that are written to; one that
// is moved, and one in a file whose content is to be read without us, all of it.
uint64_t Qcow2Image::CopyUnit(const L2Entry& old) const {
  return old.compressed() || old.host_offset() != 0 || header_.has_data_file() ? header_.cluster_bytes()
                                                                               : unit_bytes();
}

// Writes the data, with what surrounds it in its first and last cluster (or subcluster) as the guest sees
// that now.
int Qcow2Image::FillAllocation(const Allocation& allocation, uint64_t offset, uint64_t length,
                               std::span<const iovec> pieces) {
  const uint64_t head_start = AlignDown(offset, allocation.head_unit), end = offset + length;
  Range head{head_start, offset - head_start};
  Range tail{end, AlignUp(end, allocation.tail_unit) - end};
  const auto needs_no_copy = [&](const Range& part) {
    if (part.size == 0) return true;
    if (!allocation.fresh || encryption_) return false;  // What nobody wrote is noise when it is deciphered.
    MutexLock lock(mutex_);
    Mapping mapping;
    if (Lookup(part.start, part.size, &mapping) != 0 || mapping.length < part.size) return false;
    return mapping.kind == Kind::kZeroPlain || mapping.kind == Kind::kZeroKept ||
           (mapping.kind == Kind::kUnallocated && BackingIsZero(part.start));
  };
  if (needs_no_copy(head)) head = {offset, 0};
  if (needs_no_copy(tail)) tail.size = 0;
  std::vector<uint8_t> copies(head.size + tail.size);
  const iovec head_piece{copies.data(), head.size}, tail_piece{copies.data() + head.size, tail.size};
  if (const int error = ReadRange(head.start, head.size, {&head_piece, 1}); error != 0) return error;
  if (const int error = ReadRange(tail.start, tail.size, {&tail_piece, 1}); error != 0) return error;

  std::vector<iovec> all;
  if (!copies.empty()) {
    all.reserve(pieces.size() + 2);
    if (head.size != 0) all.push_back(head_piece);
    all.insert(all.end(), pieces.begin(), pieces.end());
    if (tail.size != 0) all.push_back(tail_piece);
    pieces = all;
  }
  return WriteStored(head.start, allocation.host + (head.start - allocation.guest.start),
                     head.size + length + tail.size, pieces);
}

int Qcow2Image::WriteStored(uint64_t guest, uint64_t host, uint64_t length, std::span<const iovec> pieces) {
  if (!encryption_) {
    return data_file()->Perform({.op = Op::kWrite, .offset = host, .length = length, .pieces = pieces});
  }
  if (!encryption_->content) return ENOKEY;
  return encryption_->content->Write(data_file(), host, encryption_->TweakOf(guest, host), length, pieces,
                                     false);
}

int Qcow2Image::FinishAllocation(AllocationList::iterator allocation, uint64_t offset, uint64_t length,
                                 int error) {
  MutexLock lock(mutex_);
  if (error == 0) error = LinkClusters(*allocation, offset, length);
  if (error != 0 && !allocation->reuses && !header_.has_data_file()) {
    refcounts_.Change(allocation->host, allocation->guest.size, -1);
  }
  allocations_.erase(allocation);
  allocation_done_.notify_all();
  return error;
}

int Qcow2Image::LinkClusters(const Allocation& allocation, uint64_t offset, uint64_t length) {
  SlicePlace place;
  if (const int error = PlaceOf(allocation.guest.start, &place); error != 0) return error;
  uint8_t* slice = nullptr;
  if (const int error = l2_.Load(place.slice_offset, &slice); error != 0) return error;
  l2_.MarkDirty(place.slice_offset);
  for (uint64_t at = 0; at < allocation.guest.size; at += header_.cluster_bytes(), ++place.index) {
    const L2Entry old = LoadEntry(header_, slice, place.index);
    L2Entry entry{(allocation.host + at) | kCopied, 0};
    if (header_.extended_l2()) {
      const uint64_t first = std::max(offset, allocation.guest.start + at) - (allocation.guest.start + at);
      const uint64_t end = std::min(offset + length - (allocation.guest.start + at), header_.cluster_bytes());
      const uint64_t written =
          AllOnes(8) >> (64 - ((end - 1) / unit_bytes() + 1)) & ~uint64_t{0} << first / unit_bytes();
      const bool parts = allocation.reuses || CopyUnit(old) == unit_bytes();
      entry.bitmap = parts ? (old.bitmap | written) & ~(written << kSubclusters) : AllOnes(4);
    }
    StoreEntry(header_, slice, place.index, entry);
    if (!allocation.reuses) Release(old);
  }
  return 0;
}

void Qcow2Image::Release(const L2Entry& entry) {
  if (header_.has_data_file()) return;
  if (entry.compressed()) {
    const CompressedPlace place = CompressedPlaceOf(header_, entry);
    released_.push_back({place.offset, place.bytes});
  } else if (entry.host_offset() != 0) {
    released_.push_back({entry.host_offset(), header_.cluster_bytes()});
  }
}

int Qcow2Image::StoreAndRelease(const SlicePlace& place, const L2Entry& entry, bool release) {
  uint8_t* slice = nullptr;
  if (const int error = l2_.Load(place.slice_offset, &slice); error != 0) return error;
  if (release) Release(LoadEntry(header_, slice, place.index));
  StoreEntry(header_, slice, place.index, entry);
  l2_.MarkDirty(place.slice_offset);
  return 0;
}

}  // namespace berth::block::qcow2
