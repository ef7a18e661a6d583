// Compressed clusters: packed one behind the other, several to a host cluster.
#include <algorithm>
#include <cerrno>

#include "block/qcow2/compression.h"
#include "block/qcow2/image.h"

namespace berth::block::qcow2 {

// Room for `bytes` (less than a cluster), counted once for this use in each cluster it touches.
int Qcow2Image::PlaceCompressed(uint64_t bytes, uint64_t* host) {
  const uint64_t cluster = header_.cluster_bytes();
  Range room = compressed_room_;
  bool shared = room.size != 0 && refcounts_.Change(room.start, 1, 1) == 0;
  if (!shared) room = {};
  if (bytes > room.size) {
    uint64_t next = 0, clusters = 0;
    bool fresh = false;
    const int error = AllocateClusters(1, true, &next, &clusters, &fresh);
    if (error != 0 || (shared && next != room.end())) {
      if (shared) refcounts_.Change(room.start, 1, -1);
      shared = false;
    }
    if (error != 0) return error;
    room = shared ? Range{room.start, room.size + cluster} : Range{next, cluster};
  }
  *host = room.start;
  compressed_room_ = {room.start + bytes, room.size - bytes};
  return 0;
}

size_t Qcow2Image::Pack(std::span<const uint8_t> cluster, std::span<uint8_t> out) const {
  if (header_.has_data_file() || encryption_) return 0;
  return Compress(header_.compression, cluster, out.first(header_.cluster_bytes() - 1));
}

int Qcow2Image::WritePacked(uint64_t offset, std::span<const uint8_t> packed) {
  const uint64_t cluster = header_.cluster_bytes();
  if (limits_.read_only) return EROFS;
  if (header_.has_data_file() || encryption_) return ENOTSUP;
  if (!IsAligned(offset, cluster) || offset >= size_ || packed.empty() || packed.size() >= cluster)
    return EINVAL;
  if (const int error = PrepareToChange(); error != 0) return error;
  if (has_bitmaps_) RecordWrite(offset, cluster);

  uint64_t host = 0;
  AllocationList::iterator allocation;
  {
    MutexLock lock(mutex_);
    uint64_t length = cluster;
    WaitForTurn(&lock, offset, &length);
    Mapping mapping;
    if (const int error = Lookup(offset, cluster, &mapping); error != 0) return error;
    if (HasPlace(mapping.kind)) return EIO;
    if (const int error = EnsureTable(offset); error != 0) return error;
    if (const int error = PlaceCompressed(packed.size(), &host); error != 0) return error;
    allocation = allocations_.insert(allocations_.end(), Allocation{.guest = {offset, cluster}});
  }
  int error = Write(file(), host, packed);
  MutexLock lock(mutex_);
  SlicePlace place;
  if (error == 0) error = PlaceOf(offset, &place);
  if (error == 0) error = StoreAndRelease(place, CompressedEntry(header_, host, packed.size()), true);
  if (error != 0) refcounts_.Change(host, packed.size(), -1);
  allocations_.erase(allocation);
  allocation_done_.notify_all();
  return error;
}

}  // namespace berth::block::qcow2
