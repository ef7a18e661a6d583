// Content in blocks of one size, each wherever a table in the file puts it: what vmdk, vdi, vpc, vhdx, qed
// and parallels have in common. A format says how its table is read and changed; reading, writing, and the
// order in which things reach the disk are here.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "block/format_image.h"
#include "block/slice_cache.h"

namespace berth::block {

using TableCache = SliceCache;
using TableWrite = DirtySlice;

struct BlockPlace {
  enum class Kind : uint8_t {
    kAbsent,  // The backing image determines the content; without one it is zero.
    kZero,
    kData,
    kPacked,  // Stored otherwise than as it is.
  };
  Kind kind = Kind::kAbsent;
  uint64_t host = 0;  // kData, kPacked: in the file.
  uint64_t run = 1;   // Blocks from this one on of which the same is known; kAbsent and kZero.
};

// Threads: any, at once. The order of writes: data at once; what the table says of it stays in memory until a
// flush, which makes the data durable before the table is written, and the table before it returns.
class MappedStore {
 public:
  struct Shape {
    uint64_t size_bytes = 0;
    uint64_t block_bytes = 0;
    uint64_t data_from = 0;  // Where blocks may begin in the file: what is before it is never written over.
    bool writable = false;
    bool marks_zeroes = false;   // Link takes kZero.
    bool absent_is_own = false;  // What is absent is said to be the image's own zeroes.
    bool ask_file = false;       // Stored blocks may be holes of the file.
    uint64_t slice_bytes = 512;  // What the table is read and written in.
  };
  // `file` holds the blocks. `owner`, which may be null, has the backing image, where this store's content
  // begins at `owner_offset`. Both outlive the store.
  MappedStore(Image* file, const FormatImage* owner, uint64_t owner_offset, const Shape& shape);
  MappedStore(const MappedStore&) = delete;
  virtual ~MappedStore() = default;

  const Shape& shape() const { return shape_; }
  uint64_t blocks() const { return (shape_.size_bytes + shape_.block_bytes - 1) / shape_.block_bytes; }
  // As of Image; requests have been checked.
  int Perform(const Request& request) EXCLUDES(mutex_);
  Result<Extent> Map(uint64_t offset, uint64_t length) EXCLUDES(mutex_);
  int Flush() EXCLUDES(mutex_);
  // What the table says of a block, for a check.
  int PlaceOf(uint64_t block, BlockPlace* place) EXCLUDES(mutex_);

 protected:
  // What the table says; 0, or an errno value.
  virtual int Lookup(uint64_t block, BlockPlace* place) REQUIRES(mutex_) = 0;
  // Finds room for up to `wanted` blocks in a row in the file, for those from `block` on.
  virtual int Allocate(uint64_t block, uint64_t wanted, uint64_t* host, uint64_t* got) REQUIRES(mutex_) = 0;
  // Changes the table, in memory.
  virtual int Link(uint64_t block, const BlockPlace& place) REQUIRES(mutex_) = 0;
  // Everything of the tables that is to be written, in memory clean from now on.
  virtual std::vector<TableWrite> TakeTables() REQUIRES(mutex_) { return tables_.TakeDirty(); }
  // Writes it, after the data has become durable. The default writes each where it belongs.
  virtual int StoreTables(std::span<const TableWrite> writes) EXCLUDES(mutex_);
  virtual int ReadPacked(const BlockPlace&, uint64_t, std::span<const iovec>) { return EIO; }

  Image* file() const { return file_; }
  // The first place behind everything that was ever given out, a multiple of `alignment`.
  uint64_t AppendAt(uint64_t alignment) REQUIRES(mutex_) { return AlignUp(end_, alignment); }
  void SetEnd(uint64_t end) REQUIRES(mutex_) { end_ = std::max(end_, end); }
  uint64_t end() const REQUIRES(mutex_) { return end_; }
  // The table's entry at `place` in the file; valid until the next one is loaded.
  int LoadEntry(uint64_t place, uint8_t** entry) REQUIRES(mutex_);
  void MarkEntryDirty(uint64_t place) REQUIRES(mutex_) {
    tables_.MarkDirty(place / shape_.slice_bytes * shape_.slice_bytes);
  }
  static constexpr size_t kMaxSlices = 16384, kMaxDirtySlices = 4096;

  Mutex mutex_;
  TableCache tables_ GUARDED_BY(mutex_);

 private:
  struct Run {
    BlockPlace place;  // Of the first byte's block.
    uint64_t length = 0;
  };
  struct Plan {
    uint64_t length = 0;
    uint64_t host = 0;  // Of the first byte.
    Range blocks;       // New ones; none: in place.
    bool fresh = false;
    bool keeps = false;  // What is not written of the new blocks is the backing image's.
  };
  int FindRun(uint64_t offset, uint64_t length, Run* run) REQUIRES(mutex_);
  int ReadRange(uint64_t offset, uint64_t length, std::span<const iovec> pieces) EXCLUDES(mutex_);
  int ReadAbsent(uint64_t offset, uint64_t length, std::span<const iovec> pieces);
  int WriteRange(uint64_t offset, uint64_t length, std::span<const iovec> pieces) EXCLUDES(mutex_);
  int PlanWrite(uint64_t offset, uint64_t length, Plan* plan) EXCLUDES(mutex_);
  int Fill(const Plan& plan, uint64_t offset, std::span<const iovec> pieces) EXCLUDES(mutex_);
  int Finish(const Plan& plan, uint64_t host, int error) EXCLUDES(mutex_);
  int ZeroRange(const Request& request) EXCLUDES(mutex_);
  bool IsPending(uint64_t block) const REQUIRES(mutex_);
  bool has_backing() const { return owner_ != nullptr && owner_->backing() != nullptr; }
  bool TooDirty() EXCLUDES(mutex_);

  Image* const file_;
  const FormatImage* const owner_;
  const uint64_t owner_offset_;
  const Shape shape_;
  Mutex flushing_;
  // Blocks that are being written for the first time.
  std::vector<Range> pending_ GUARDED_BY(mutex_);
  std::condition_variable pending_done_;
  uint64_t end_ GUARDED_BY(mutex_) = 0;
  uint64_t fresh_from_ GUARDED_BY(mutex_) = 0;  // From here on the file reads as zeroes.
};

}  // namespace berth::block
