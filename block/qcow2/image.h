// A qcow2 image. The methods are in files by what they are about: open.cc, map.cc (lookup and reading),
// locate.cc (lookup that never waits), write.cc, populate.cc, zero.cc (zeroes, discards), flush.cc,
// compressed.cc, check.cc, resize.cc, info.cc, snapshot_change.cc, table_walk.cc, amend.cc,
// refcount_width.cc, bitmaps.cc.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "block/bitmap.h"
#include "block/driver.h"
#include "block/format_image.h"
#include "block/qcow2/bitmap.h"
#include "block/qcow2/encryption.h"
#include "block/qcow2/entry.h"
#include "block/qcow2/header.h"
#include "block/qcow2/io_gate.h"
#include "block/qcow2/metadata_map.h"
#include "block/qcow2/refcounts.h"
#include "block/slice_cache.h"
#include "block/snapshot.h"

namespace berth::block::qcow2 {

// An entry of the snapshot table.
struct SnapshotEntry {
  Snapshot snapshot;
  uint64_t l1_offset = 0;
  uint32_t l1_entries = 0;
  uint64_t known_extra_bytes = 24;     // Of the extra data, 24 at most.
  std::vector<uint8_t> unknown_extra;  // What follows those.
};
Result<std::vector<SnapshotEntry>> ReadSnapshots(Image* file, const Header& header);
uint64_t SnapshotTableBytes(const std::vector<SnapshotEntry>& entries);
// The table's bytes; OUT_OF_RANGE if it would be larger than readers accept.
Result<std::vector<uint8_t>> EncodeSnapshots(const std::vector<SnapshotEntry>& entries);

// A run of guest bytes that the tables say one thing of.
struct Mapping {
  Kind kind = Kind::kUnallocated;
  uint64_t offset = 0;  // Of the guest.
  uint64_t length = 0;
  uint64_t host = 0;  // Where the kind has a place: of the first byte.
  L2Entry entry;      // Of the first cluster.
};

class Qcow2Image final : public FormatImage, public SnapshotStore, public BitmapStore {
 public:
  // `encryption`: null if the image has none.
  Qcow2Image(std::unique_ptr<Image> file, std::unique_ptr<Image> data_file,
             std::unique_ptr<Encryption> encryption, Header header, const OpenFlags& flags);
  // Reads the tables; before anything else.
  Status Load();
  ~Qcow2Image() override;

  const Header& header() const { return header_; }

  uint64_t size_bytes() const override { return size_; }
  const Limits& limits() const override { return limits_; }
  int Perform(const Request& request) override;
  Result<Extent> Map(uint64_t offset, uint64_t length) override;
  Status Resize(uint64_t size_bytes, Preallocation preallocation) override;
  Location Locate(Op op, uint64_t offset, uint64_t length) override EXCLUDES(mutex_);
  void Leave(int ticket) override { gate_.Exit(ticket); }
  std::optional<uint64_t> AllocatedBytes() const override;

  Image* data_file() const override { return data_file_ ? data_file_.get() : file(); }
  std::optional<BackingReference> backing_reference() const override;
  ImageInfo Info() const override;
  nlohmann::ordered_json SpecificInfo() const override;
  Result<CheckReport> Check(const Repair& repair) override;
  size_t Pack(std::span<const uint8_t> cluster, std::span<uint8_t> out) const override;
  int WritePacked(uint64_t offset, std::span<const uint8_t> packed) override;
  Status WriteBack() override EXCLUDES(mutex_, flush_mutex_);
  int Populate(uint64_t offset, uint64_t length) override EXCLUDES(mutex_, flush_mutex_);
  Status MakeEmpty() override;
  Status ChangeBacking(const std::optional<BackingReference>& reference) override;
  std::vector<Snapshot> Snapshots() const override;

  Status CreateSnapshot(Snapshot snapshot) override;
  Status ApplySnapshot(const SnapshotKey& key) override;
  Status DeleteSnapshot(const SnapshotKey& key) override;
  Status ViewSnapshot(const SnapshotKey& key) override;
  int PerformOnVmState(const Request& request) override;

  bool CanHaveBitmaps() const override;
  std::vector<BitmapInfo> Bitmaps() override;
  Status AddBitmap(const BitmapInfo& info) override;
  Status RemoveBitmap(std::string_view name) override;
  Status ClearBitmap(std::string_view name) override;
  Status EnableBitmap(std::string_view name, bool enabled) override;
  Result<std::vector<Range>> DirtyRanges(std::string_view name) override;
  Status MarkDirty(std::string_view name, const std::vector<Range>& ranges) override;
  Status StoreBitmaps() override;
  // After Load, before anything else.
  void LoadBitmapDirectory() EXCLUDES(mutex_);

  // To what `options` say of compatibility, refcounts, data file and size. Nobody else uses the image.
  Status Amend(const CreateOptions& options);

 private:
  friend class Checker;

  // Clusters of the guest that are being given a place: others who write there wait.
  struct Allocation {
    Range guest;
    uint64_t host = 0;
    bool fresh = false;   // The host clusters have never been written to and read as zeroes.
    bool reuses = false;  // A place that the cluster has already.
    // What the first and the last cluster take along of what is around the data: the rest of so many bytes.
    uint64_t head_unit = 0, tail_unit = 0;
  };
  using AllocationList = std::list<Allocation>;
  struct WritePlan {
    uint64_t length = 0;
    uint64_t host = 0;  // In place: of the first byte.
    int ticket = 0;
    AllocationList::iterator allocation{};  // Not in place.
    bool in_place = false;
  };

  uint64_t unit_bytes() const {
    return header_.extended_l2() ? header_.cluster_bytes() / kSubclusters : header_.cluster_bytes();
  }
  uint64_t l2_coverage() const { return header_.cluster_bytes() * header_.l2_entries(); }
  uint64_t ClusterStart(uint64_t offset) const { return AlignDown(offset, header_.cluster_bytes()); }
  // Whether a range that no entry maps reads as zeroes.
  bool BackingIsZero(uint64_t offset) const;

  // open.cc
  Status LoadL1();
  Status AddInactiveMetadata();

  // locate.cc
  Location LocateLocked(Op op, uint64_t offset, uint64_t length) REQUIRES(mutex_);

  // map.cc
  struct SlicePlace {
    uint64_t slice_offset = 0;  // In the file; 0: there is no table.
    uint64_t index = 0;         // Of the entry in the slice.
  };
  int PlaceOf(uint64_t offset, SlicePlace* place) REQUIRES(mutex_);
  int Lookup(uint64_t offset, uint64_t length, Mapping* mapping) REQUIRES(mutex_);
  int ReadRange(uint64_t offset, uint64_t length, std::span<const iovec> pieces) EXCLUDES(mutex_);
  int ReadMapped(const Mapping& mapping, std::span<const iovec> pieces) EXCLUDES(mutex_);
  // Content of `guest` on the disk that is stored at `host`, in the clear or not.
  int ReadStored(uint64_t guest, uint64_t host, uint64_t length, std::span<const iovec> pieces);
  int WriteStored(uint64_t guest, uint64_t host, uint64_t length, std::span<const iovec> pieces);
  int ReadCompressed(const Mapping& mapping, std::span<const iovec> pieces) EXCLUDES(mutex_);

  // write.cc
  int WriteRange(const Request& request) EXCLUDES(mutex_);
  int WriteData(uint64_t offset, uint64_t length, std::span<const iovec> pieces) EXCLUDES(mutex_);
  int PlanWrite(uint64_t offset, uint64_t length, WritePlan* plan) EXCLUDES(mutex_);
  int PlanAllocation(uint64_t offset, uint64_t length, const Mapping& mapping, WritePlan* plan)
      REQUIRES(mutex_);
  uint64_t CopyUnit(const L2Entry& old) const;
  int FillAllocation(const Allocation& allocation, uint64_t offset, uint64_t length,
                     std::span<const iovec> pieces) EXCLUDES(mutex_);
  int FinishAllocation(AllocationList::iterator allocation, uint64_t offset, uint64_t length, int error)
      EXCLUDES(mutex_);
  int LinkClusters(const Allocation& allocation, uint64_t offset, uint64_t length) REQUIRES(mutex_);
  int EnsureTable(uint64_t offset) REQUIRES(mutex_);
  // Waits until nobody allocates where [offset, offset + length) is; shortens to what is free after that.
  void WaitForTurn(MutexLock* lock, uint64_t offset, uint64_t* length) REQUIRES(mutex_);
  int AllocateClusters(uint64_t wanted, bool all, uint64_t* offset, uint64_t* clusters, bool* fresh)
      REQUIRES(mutex_);
  // What `entry` referred to is uncounted after the next flush.
  void Release(const L2Entry& entry) REQUIRES(mutex_);
  int StoreAndRelease(const SlicePlace& place, const L2Entry& entry, bool release) REQUIRES(mutex_);
  bool DataConflicts(uint64_t host, uint64_t length) REQUIRES(mutex_);

  // zero.cc
  int ZeroRange(const Request& request) EXCLUDES(mutex_);
  int ZeroPart(uint64_t offset, uint64_t length) EXCLUDES(mutex_);
  int ZeroSubclusters(uint64_t offset, uint64_t length) EXCLUDES(mutex_);
  int ZeroBytes(uint64_t offset, uint64_t length) EXCLUDES(mutex_);
  int DiscardRange(uint64_t offset, uint64_t length) EXCLUDES(mutex_);
  int ForgetClusters(uint64_t offset, uint64_t length) EXCLUDES(mutex_);
  template <typename Change>
  int ForClusters(uint64_t offset, uint64_t length, Change change) EXCLUDES(mutex_);

  // flush.cc
  int FlushMetadata() EXCLUDES(mutex_, flush_mutex_);
  // The same until nothing waits to be uncounted.
  int Settle() EXCLUDES(mutex_, flush_mutex_);
  int RelieveCaches() EXCLUDES(mutex_, flush_mutex_);
  int WriteSlices(const std::vector<DirtySlice>& slices, Section section) EXCLUDES(mutex_);
  int Uncount(const std::vector<Range>& released) EXCLUDES(mutex_);
  std::vector<DirtySlice> TakeDirtyL1() REQUIRES(mutex_);
  // Writes it, and takes it over: nobody else uses the image.
  Status WriteHeader(const Header& header) REQUIRES(mutex_);
  Status WriteHeaderBytes(const Header& header) REQUIRES(mutex_);
  int PrepareToChange() EXCLUDES(mutex_);

  // info.cc
  bool PreallocatedSparsely() EXCLUDES(mutex_);
  Status TrimFile() EXCLUDES(mutex_);

  // compressed.cc
  int PlaceCompressed(uint64_t bytes, uint64_t* host) REQUIRES(mutex_);

  // bitmaps.cc
  Status LoadBitmap(Bitmap* bitmap) REQUIRES(mutex_);
  bool CountBitmap(Bitmap* bitmap) REQUIRES(mutex_);
  Status BeginRecording() REQUIRES(mutex_);
  void RecordWrite(uint64_t offset, uint64_t length) EXCLUDES(mutex_);
  void MarkBitmaps(uint64_t offset, uint64_t length) REQUIRES(mutex_);
  Bitmap* FindBitmap(std::string_view name) REQUIRES(mutex_);
  Result<Bitmap*> UsableBitmap(std::string_view name) REQUIRES(mutex_);
  Status PrepareBitmapsToResize() EXCLUDES(mutex_);
  Status ReleaseBitmapTable(const Bitmap& bitmap) REQUIRES(mutex_);
  Status WriteBitmap(Bitmap* bitmap) REQUIRES(mutex_);
  Status SwitchBitmapDirectory(std::span<const uint8_t> directory, uint64_t place) EXCLUDES(mutex_);

  // snapshot_change.cc
  Status BeginMetadataChange() EXCLUDES(mutex_);
  Status EndMetadataChange() EXCLUDES(mutex_);
  Result<uint64_t> WriteNewClusters(std::span<const uint8_t> bytes) EXCLUDES(mutex_);
  Status SwitchSnapshots(std::vector<SnapshotEntry> entries) EXCLUDES(mutex_);
  Status SwitchL1(std::vector<uint64_t> l1, uint64_t size_bytes) EXCLUDES(mutex_);
  Status RefuseSnapshots() const;
  Result<size_t> IndexOf(const SnapshotKey& key) const;

  // amend.cc
  Status Upgrade() EXCLUDES(mutex_);
  Status Downgrade() EXCLUDES(mutex_);
  Status ExpandZeroes() EXCLUDES(mutex_);
  Status AmendFlags(const CreateOptions& options, uint32_t version) EXCLUDES(mutex_);

  // refcount_width.cc
  Status ChangeRefcountOrder(uint32_t order) EXCLUDES(mutex_);
  Status CheckRefcountsFit(uint32_t order) EXCLUDES(mutex_);

  // table_walk.cc
  enum class CountChange : uint8_t { kCanIncrease, kIncrease, kDecrease };
  Result<std::vector<uint64_t>> ReadL1(uint64_t offset, uint64_t entries);
  int CountUse(uint64_t offset, uint64_t length, CountChange change) REQUIRES(mutex_);
  int CountUses(std::span<const uint64_t> l1, CountChange change) EXCLUDES(mutex_);
  int CorrectCopied() EXCLUDES(mutex_);
  int CorrectCopiedIn(uint64_t table) REQUIRES(mutex_);

  // resize.cc
  Status GrowL1(uint64_t entries) EXCLUDES(mutex_);
  Status Preallocate(uint64_t offset, uint64_t length, Preallocation preallocation) EXCLUDES(mutex_);
  int FillPreallocated(uint64_t guest, const Range& host, Preallocation preallocation);

  const OpenFlags flags_;
  // As it is on the disk. Changed under the mutex: where the refcount table is and the autoclear bits at any
  // time, the rest by whoever uses the image alone.
  Header header_;
  std::atomic<uint64_t> size_;
  Limits limits_;
  const std::unique_ptr<Image> data_file_;
  const std::unique_ptr<Encryption> encryption_;
  std::vector<SnapshotEntry> snapshots_;
  IoGate gate_;

  Mutex mutex_;
  std::vector<uint64_t> l1_ GUARDED_BY(mutex_);
  std::set<uint64_t> dirty_l1_sectors_ GUARDED_BY(mutex_);
  MetadataMap metadata_ GUARDED_BY(mutex_);
  std::vector<Range> released_ GUARDED_BY(mutex_);  // To be uncounted after the next flush.
  SliceCache l2_ GUARDED_BY(mutex_);
  Refcounts refcounts_ GUARDED_BY(mutex_);
  AllocationList allocations_ GUARDED_BY(mutex_);
  std::condition_variable allocation_done_;
  uint64_t fresh_from_ GUARDED_BY(mutex_) = 0;  // Clusters from here on have never been written to.
  Range compressed_room_ GUARDED_BY(mutex_);    // Left of the cluster that compressed data goes to.
  bool prepared_ GUARDED_BY(mutex_) = false;
  std::vector<Bitmap> bitmaps_ GUARDED_BY(mutex_);
  uint64_t bitmap_bytes_ GUARDED_BY(mutex_) = 0;  // What those in memory may come to.
  Range bitmap_directory_ GUARDED_BY(mutex_);
  std::vector<Range> pending_bitmap_release_ GUARDED_BY(mutex_);  // Once the new directory is on the disk.
  std::atomic<bool> has_bitmaps_ = false;
  bool bitmaps_changed_ GUARDED_BY(mutex_) = false;  // The directory alone.
  bool recording_ GUARDED_BY(mutex_) = false;        // The disk says that they are in use.
  std::optional<bool> sparse_ GUARDED_BY(mutex_);    // PreallocatedSparsely, once it was asked.

  Mutex flush_mutex_;  // One flush at a time; taken before mutex_.
};

Result<std::unique_ptr<FormatImage>> Open(OpenContext* context);
Status Create(const std::string& filename, const CreateOptions& options);
Status Amend(FormatImage* image, const CreateOptions& options);
Result<Measurement> Measure(const CreateOptions& options, Image* source);

}  // namespace berth::block::qcow2
