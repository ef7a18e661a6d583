// A sparse extent: grains that two levels of tables, directory and grain tables, find in the file.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "block/mapped_store.h"
#include "block/vmdk/header.h"

namespace berth::block::vmdk {

class SparseExtent : public MappedStore {
 public:
  // As MappedStore; `size_bytes` may be less than the header's capacity.
  SparseExtent(Image* file, const FormatImage* owner, uint64_t owner_offset, const SparseHeader& header,
               uint64_t size_bytes, bool writable);

  const SparseHeader& header() const { return header_; }

 protected:
  int Lookup(uint64_t block, BlockPlace* place) override REQUIRES(mutex_);
  int Allocate(uint64_t block, uint64_t wanted, uint64_t* host, uint64_t* got) override REQUIRES(mutex_);
  int Link(uint64_t block, const BlockPlace& place) override REQUIRES(mutex_);
  int ReadPacked(const BlockPlace& place, uint64_t offset, std::span<const iovec> pieces) override;

 private:
  // A table's entry, and where it is in the file; null where there is no table.
  int FindEntry(uint64_t directory_sector, uint64_t block, uint8_t** entry, uint64_t* place) REQUIRES(mutex_);
  int SetEntry(uint64_t directory_sector, uint64_t block, uint32_t value) REQUIRES(mutex_);

  const SparseHeader header_;
};

// A grain as a zlib stream into `out`, however long that is.
void PackGrain(std::span<const uint8_t> grain, std::vector<uint8_t>* out);
// Fills `out`; false if `packed` does not.
bool UnpackGrain(std::span<const uint8_t> packed, std::span<uint8_t> out);

}  // namespace berth::block::vmdk
