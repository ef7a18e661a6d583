// Making, applying and deleting snapshots. docs/block.md has the order of the writes, and why a crash between
// any two of them is harmless; images of version 3 are marked dirty meanwhile.
#include <algorithm>
#include <cerrno>
#include <charconv>

#include "block/qcow2/image.h"

namespace berth::block::qcow2 {
namespace {

// One more than the largest id that is a number.
std::string NextId(const std::vector<SnapshotEntry>& entries) {
  uint64_t largest = 0;
  for (const SnapshotEntry& entry : entries) {
    uint64_t id = 0;
    const std::string& text = entry.snapshot.id;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error == std::errc() && end == text.data() + text.size() && id != UINT64_MAX) {
      largest = std::max(largest, id);
    }
  }
  return std::to_string(largest + 1);
}

std::vector<uint8_t> EncodeL1(std::span<const uint64_t> l1) {
  std::vector<uint8_t> raw(l1.size() * 8);
  for (size_t i = 0; i < l1.size(); ++i) StoreBe<uint64_t>(&raw[i * 8], l1[i]);
  return raw;
}

}  // namespace

Result<size_t> Qcow2Image::IndexOf(const SnapshotKey& key) const {
  TRY(RefuseSnapshots());
  const auto index = FindSnapshot(Snapshots(), key);
  if (!index) return FailErrno(ENOENT, "find the snapshot");
  return *index;
}

// The data file is what it is: it cannot have what was there before as well.
Status Qcow2Image::RefuseSnapshots() const {
  if (!header_.has_data_file()) return Ok();
  return Fail(Code::kUnimplemented, "images with external data files have no snapshots");
}

Status Qcow2Image::BeginMetadataChange() {
  if (limits_.read_only) return Fail(Code::kFailedPrecondition, "the image is open for reading only");
  TRY(ToStatus(PrepareToChange(), "write the header"));
  TRY(ToStatus(Settle(), "write what was pending"));
  if (header_.version < 3) return Ok();
  MutexLock lock(mutex_);
  Header changed = header_;
  changed.incompatible |= kDirty;
  return WriteHeader(changed);
}

Status Qcow2Image::EndMetadataChange() {
  TRY(ToStatus(Settle(), "write the image's tables"));
  {
    MutexLock lock(mutex_);
    Header changed = header_;
    changed.incompatible &= ~kDirty;
    if (changed.incompatible != header_.incompatible) TRY(WriteHeader(changed));
  }
  return Load();
}

Result<uint64_t> Qcow2Image::WriteNewClusters(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return 0;
  const uint64_t cluster = header_.cluster_bytes();
  uint64_t place = 0, clusters = 0;
  {
    MutexLock lock(mutex_);
    bool fresh = false;
    const int error =
        AllocateClusters((bytes.size() + cluster - 1) / cluster, true, &place, &clusters, &fresh);
    TRY(ToStatus(error, "find room for a table"));
    l2_.Drop(place, clusters * cluster);
  }
  TRY(ToStatus(Write(file(), place, bytes), "write a table"));
  TRY(ToStatus(FlushMetadata(), "write a table"));
  return place;
}

// The new table, then the header's reference to it.
Status Qcow2Image::SwitchSnapshots(std::vector<SnapshotEntry> entries) {
  const std::vector<uint8_t> table = TRY(EncodeSnapshots(entries));
  const uint64_t place = TRY(WriteNewClusters(table));
  MutexLock lock(mutex_);
  const Range old{header_.snapshots_offset, SnapshotTableBytes(snapshots_)};
  Header changed = header_;
  changed.snapshots_offset = place;
  changed.snapshot_count = static_cast<uint32_t>(entries.size());
  TRY(WriteHeader(changed));
  if (old.size != 0) released_.push_back(old);
  snapshots_ = std::move(entries);
  for (SnapshotEntry& entry : snapshots_) entry.known_extra_bytes = 24;
  return Ok();
}

// A new L1 table, then the header's reference to it, with the size of the disk that it is for.
Status Qcow2Image::SwitchL1(std::vector<uint64_t> l1, uint64_t size_bytes) {
  const uint64_t place = TRY(WriteNewClusters(EncodeL1(l1)));
  {
    MutexLock lock(mutex_);
    const Range old{header_.l1_offset, uint64_t{header_.l1_entries} * 8};
    Header changed = header_;
    changed.l1_offset = place;
    changed.l1_entries = static_cast<uint32_t>(l1.size());
    changed.size_bytes = size_bytes;
    TRY(WriteHeader(changed));
    if (old.size != 0) released_.push_back(old);
    size_ = size_bytes;
  }
  return Load();
}

Status Qcow2Image::CreateSnapshot(Snapshot snapshot) {
  TRY(RefuseSnapshots());
  TRY(BeginMetadataChange());
  std::vector<uint64_t> l1;
  {
    MutexLock lock(mutex_);
    l1 = l1_;
  }
  int error = CountUses(l1, CountChange::kCanIncrease);
  if (error != 0) {
    TRY(EndMetadataChange());
    return FailErrno(error, "count the snapshot's clusters");
  }
  TRY(ToStatus(CountUses(l1, CountChange::kIncrease), "count the snapshot's clusters"));
  TRY(ToStatus(FlushMetadata(), "count the snapshot's clusters"));
  TRY(ToStatus(CorrectCopied(), "mark what is shared"));
  TRY(ToStatus(FlushMetadata(), "mark what is shared"));
  for (uint64_t& entry : l1) entry &= ~kCopied;

  snapshot.id = NextId(snapshots_);
  snapshot.disk_bytes = size_;
  SnapshotEntry entry{.snapshot = snapshot, .l1_entries = static_cast<uint32_t>(l1.size())};
  entry.l1_offset = TRY(WriteNewClusters(EncodeL1(l1)));
  std::vector<SnapshotEntry> entries = snapshots_;
  entries.push_back(std::move(entry));
  TRY(SwitchSnapshots(std::move(entries)));
  TRY(EndMetadataChange());
  // The state belongs to the snapshot now.
  const uint64_t state = AlignUp(snapshot.vm_state_bytes, header_.cluster_bytes());
  if (state != 0) TRY(ToStatus(ForgetClusters(Info().vm_state_offset, state), "drop the machine's state"));
  return ToStatus(Settle(), "drop the machine's state");
}

Status Qcow2Image::ApplySnapshot(const SnapshotKey& key) {
  const SnapshotEntry entry = snapshots_[TRY(IndexOf(key))];
  std::vector<uint64_t> l1 = TRY(ReadL1(entry.l1_offset, entry.l1_entries)), old;
  const uint64_t needed = header_.L1EntriesFor(entry.snapshot.disk_bytes);
  if (needed > kMaxL1Bytes / 8) return Fail(Code::kInvalidArgument, "the snapshot's disk is too large");
  TRY(BeginMetadataChange());
  TRY(ToStatus(CountUses(l1, CountChange::kCanIncrease), "count the snapshot's clusters"));
  TRY(ToStatus(CountUses(l1, CountChange::kIncrease), "count the snapshot's clusters"));
  for (uint64_t& l1_entry : l1) l1_entry &= ~kCopied;
  l1.resize(std::max<uint64_t>(l1.size(), needed));
  {
    MutexLock lock(mutex_);
    old = l1_;
  }
  TRY(SwitchL1(std::move(l1), entry.snapshot.disk_bytes));
  TRY(ToStatus(CountUses(old, CountChange::kDecrease), "drop what the disk had"));
  TRY(ToStatus(Settle(), "drop what the disk had"));
  TRY(ToStatus(CorrectCopied(), "mark what is shared"));
  RecordWrite(0, size_);
  return EndMetadataChange();
}

Status Qcow2Image::DeleteSnapshot(const SnapshotKey& key) {
  const size_t index = TRY(IndexOf(key));
  const SnapshotEntry entry = snapshots_[index];
  const std::vector<uint64_t> l1 = TRY(ReadL1(entry.l1_offset, entry.l1_entries));
  TRY(BeginMetadataChange());
  std::vector<SnapshotEntry> entries = snapshots_;
  entries.erase(entries.begin() + static_cast<ptrdiff_t>(index));
  TRY(SwitchSnapshots(std::move(entries)));
  TRY(ToStatus(CountUses(l1, CountChange::kDecrease), "drop what the snapshot had"));
  {
    MutexLock lock(mutex_);
    if (!l1.empty()) released_.push_back({entry.l1_offset, l1.size() * 8});
  }
  TRY(ToStatus(Settle(), "drop what the snapshot had"));
  TRY(ToStatus(CorrectCopied(), "mark what is no longer shared"));
  return EndMetadataChange();
}

Status Qcow2Image::ViewSnapshot(const SnapshotKey& key) {
  if (!limits_.read_only) return Fail(Code::kInvalidArgument, "the image is open for writing");
  const SnapshotEntry& entry = snapshots_[TRY(IndexOf(key))];
  std::vector<uint64_t> l1 = TRY(ReadL1(entry.l1_offset, entry.l1_entries));
  MutexLock lock(mutex_);
  l2_.Clear();
  l1_ = std::move(l1);
  return Ok();
}

int Qcow2Image::PerformOnVmState(const Request& request) {
  const uint64_t start = Info().vm_state_offset;
  Request moved = request;
  moved.offset += start;
  if (request.offset > INT64_MAX - start || request.length > INT64_MAX - moved.offset) return EINVAL;
  if (request.op == Op::kRead) return ReadRange(moved.offset, moved.length, moved.pieces);
  if (request.op != Op::kWrite) return ENOTSUP;
  if (limits_.read_only) return EROFS;
  if (const int error = PrepareToChange(); error != 0) return error;
  const uint64_t needed = header_.L1EntriesFor(moved.offset + moved.length);
  if (needed > kMaxL1Bytes / 8) return EFBIG;
  if (needed > header_.l1_entries && !GrowL1(needed)) return EIO;
  return moved.length == 0 ? 0 : WriteRange(moved);
}

}  // namespace berth::block::qcow2
