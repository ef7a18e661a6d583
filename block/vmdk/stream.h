// Writing a stream-optimized extent: compressed grains one behind the other, then the tables, the directory
// and the footer that says where that is ("Stream-Optimized Compressed Sparse Extents"). Written once: from
// the first flush on nothing can be added, for readers that take the file as a stream stop at its end marker.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "block/vmdk/sparse.h"

namespace berth::block::vmdk {

// The header at the front of such an extent, which has its descriptor behind it.
SparseHeader StreamHeader(uint64_t capacity_sectors);
// Header, descriptor and the end of a stream without grains.
Status WriteEmptyStream(Image* file, const SparseHeader& header, std::string_view descriptor);

class StreamExtent final : public SparseExtent {
 public:
  // `file` holds a stream without grains, which is to be written.
  StreamExtent(Image* file, const SparseHeader& header, uint64_t size_bytes);

  // Stores a packed grain; EIO if it has content, EROFS once the stream has ended.
  int WriteGrain(uint64_t block, std::span<const uint8_t> packed) EXCLUDES(mutex_);
  int Write(const Request& request) EXCLUDES(mutex_);
  // Ends the stream if there is anything in it.
  int Finish() EXCLUDES(mutex_);

 protected:
  int Lookup(uint64_t block, BlockPlace* place) override REQUIRES(mutex_);

 private:
  std::map<uint64_t, std::vector<uint32_t>> grain_tables_ GUARDED_BY(mutex_);
  uint64_t append_at_ GUARDED_BY(mutex_);
  bool ended_ GUARDED_BY(mutex_) = false;
};

}  // namespace berth::block::vmdk
