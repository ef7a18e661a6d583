// The snapshot table.
#include <algorithm>

#include "block/qcow2/image.h"

namespace berth::block::qcow2 {
namespace {

constexpr uint64_t kFixedBytes = 40;
constexpr uint64_t kKnownExtraBytes = 24;
constexpr uint64_t kMaxExtraBytes = 1024;
constexpr uint64_t kMaxTableBytes = uint64_t{1024} * kMaxSnapshots;

}  // namespace

Result<std::vector<SnapshotEntry>> ReadSnapshots(Image* file, const Header& header) {
  std::vector<SnapshotEntry> entries;
  uint64_t at = header.snapshots_offset;
  const auto read = [&](void* out, uint64_t size) {
    const int error = Read(file, at, {static_cast<uint8_t*>(out), size});
    at += size;
    return error;
  };
  for (uint32_t i = 0; i < header.snapshot_count; ++i) {
    at = AlignUp(at, 8);
    uint8_t fixed[kFixedBytes];
    if (const int error = read(fixed, sizeof(fixed)); error != 0)
      return FailErrno(error, "Could not read snapshots");
    SnapshotEntry entry;
    entry.l1_offset = LoadBe<uint64_t>(fixed);
    entry.l1_entries = LoadBe<uint32_t>(fixed + 8);
    const uint64_t id_bytes = LoadBe<uint16_t>(fixed + 12), name_bytes = LoadBe<uint16_t>(fixed + 14);
    const uint64_t extra_bytes = LoadBe<uint32_t>(fixed + 36);
    entry.snapshot.date_seconds = LoadBe<uint32_t>(fixed + 16);
    entry.snapshot.date_nanoseconds = LoadBe<uint32_t>(fixed + 20);
    entry.snapshot.vm_clock_ns = LoadBe<uint64_t>(fixed + 24);
    entry.snapshot.vm_state_bytes = LoadBe<uint32_t>(fixed + 32);
    entry.snapshot.disk_bytes = header.size_bytes;
    if (extra_bytes > kMaxExtraBytes)
      return Fail(Code::kInvalidArgument,
                  "Could not read snapshots: Too much extra metadata in snapshot table entry {}", i);
    std::vector<uint8_t> extra(extra_bytes);
    entry.snapshot.id.resize(id_bytes);
    entry.snapshot.name.resize(name_bytes);
    int error = read(extra.data(), extra_bytes);
    if (error == 0) error = read(entry.snapshot.id.data(), id_bytes);
    if (error == 0) error = read(entry.snapshot.name.data(), name_bytes);
    if (error != 0) return FailErrno(error, "Could not read snapshots");
    if (extra_bytes >= 8) entry.snapshot.vm_state_bytes = LoadBe<uint64_t>(&extra[0]);
    if (extra_bytes >= 16) entry.snapshot.disk_bytes = LoadBe<uint64_t>(&extra[8]);
    if (extra_bytes >= 24) entry.snapshot.icount = static_cast<int64_t>(LoadBe<uint64_t>(&extra[16]));
    entry.known_extra_bytes = std::min(extra_bytes, kKnownExtraBytes);
    if (extra_bytes > kKnownExtraBytes) {
      entry.unknown_extra.assign(extra.begin() + kKnownExtraBytes, extra.end());
    }
    if (!IsAligned(entry.l1_offset, header.cluster_bytes()) || uint64_t{entry.l1_entries} * 8 > kMaxL1Bytes ||
        entry.l1_offset >= kMaxHostOffset) {
      return Fail(Code::kInvalidArgument, "Could not read snapshots: Snapshot L1 table offset invalid");
    }
    if (at - header.snapshots_offset > kMaxTableBytes) {
      return Fail(Code::kInvalidArgument, "Could not read snapshots: Snapshot table too large");
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<std::vector<uint8_t>> EncodeSnapshots(const std::vector<SnapshotEntry>& entries) {
  std::vector<uint8_t> bytes;
  const auto append = [&bytes](const auto& more) { bytes.insert(bytes.end(), more.begin(), more.end()); };
  for (const SnapshotEntry& entry : entries) {
    const Snapshot& snapshot = entry.snapshot;
    if (snapshot.id.size() > UINT16_MAX || snapshot.name.size() > UINT16_MAX) {
      return Fail(Code::kInvalidArgument, "the snapshot's name is too long");
    }
    bytes.resize(AlignUp(bytes.size(), 8));
    const size_t at = bytes.size();
    bytes.resize(at + kFixedBytes + kKnownExtraBytes);
    uint8_t* fixed = &bytes[at];
    StoreBe<uint64_t>(fixed, entry.l1_offset);
    StoreBe<uint32_t>(fixed + 8, entry.l1_entries);
    StoreBe<uint16_t>(fixed + 12, static_cast<uint16_t>(snapshot.id.size()));
    StoreBe<uint16_t>(fixed + 14, static_cast<uint16_t>(snapshot.name.size()));
    StoreBe<uint32_t>(fixed + 16, static_cast<uint32_t>(snapshot.date_seconds));
    StoreBe<uint32_t>(fixed + 20, snapshot.date_nanoseconds);
    StoreBe<uint64_t>(fixed + 24, snapshot.vm_clock_ns);
    const bool fits = snapshot.vm_state_bytes <= UINT32_MAX;
    StoreBe<uint32_t>(fixed + 32, fits ? static_cast<uint32_t>(snapshot.vm_state_bytes) : 0);
    StoreBe<uint32_t>(fixed + 36, static_cast<uint32_t>(kKnownExtraBytes + entry.unknown_extra.size()));
    StoreBe<uint64_t>(fixed + 40, snapshot.vm_state_bytes);
    StoreBe<uint64_t>(fixed + 48, snapshot.disk_bytes);
    StoreBe<uint64_t>(fixed + 56, static_cast<uint64_t>(snapshot.icount));
    append(entry.unknown_extra);
    append(snapshot.id);
    append(snapshot.name);
  }
  if (entries.size() > kMaxSnapshots || bytes.size() > kMaxTableBytes) {
    return Fail(Code::kOutOfRange, "the image has no room for another snapshot");
  }
  return bytes;
}

std::vector<Snapshot> Qcow2Image::Snapshots() const {
  std::vector<Snapshot> all;
  for (const SnapshotEntry& entry : snapshots_) all.push_back(entry.snapshot);
  return all;
}

uint64_t SnapshotTableBytes(const std::vector<SnapshotEntry>& entries) {
  uint64_t bytes = 0;
  for (const SnapshotEntry& entry : entries) {
    bytes = AlignUp(bytes, 8) + kFixedBytes + entry.known_extra_bytes + entry.unknown_extra.size() +
            entry.snapshot.id.size() + entry.snapshot.name.size();
  }
  return bytes;
}

}  // namespace berth::block::qcow2
