#include "server/volume/volume_snapshots.h"

#include <fcntl.h>

#include <algorithm>

#include "block/file_image.h"
#include "block/layers.h"
#include "block/qcow2/image.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_facts.h"

namespace berth::server {
namespace {

constexpr size_t kMaxSnapshots = 256;

Error AboutSnapshot(Code code, const char* reason, const std::string& resource, std::string message) {
  return Error(code, std::move(message)).Reason(reason).With("resource", resource);
}

tl::unexpected<Error> NotSupported(const std::string& volume) {
  return Fail(AboutSnapshot(Code::kUnimplemented, "SNAPSHOTS_NOT_SUPPORTED", volume,
                            fmt::format("{} is raw, and has no room for snapshots", volume)));
}

// Whether it may be created; whether it is there, for anything else.
Status CheckSnapshots(const std::vector<block::Snapshot>& snapshots, const SnapshotName& name,
                      SnapshotChange change) {
  const bool found = block::FindSnapshot(snapshots, {.name = name.id}).has_value();
  if (change != SnapshotChange::kCreate) {
    if (found) return Ok();
    return Fail(AboutSnapshot(Code::kNotFound, "SNAPSHOT_NOT_FOUND", name.ToString(),
                              fmt::format("there is no snapshot {}", name.ToString())));
  }
  if (found) {
    return Fail(AboutSnapshot(Code::kAlreadyExists, "SNAPSHOT_EXISTS", name.ToString(),
                              fmt::format("there is a snapshot {} already", name.ToString())));
  }
  if (snapshots.size() < kMaxSnapshots) return Ok();
  return Fail(
      AboutSnapshot(Code::kResourceExhausted, "TOO_MANY_SNAPSHOTS", name.volume.ToString(),
                    fmt::format("{} has {} snapshots already", name.volume.ToString(), snapshots.size())));
}

// None of a raw volume.
Result<std::vector<block::Snapshot>> StoredSnapshots(const VolumePool& directory, const std::string& volume) {
  const std::vector<VolumeFile> files = TRY(directory.List());
  const VolumeFile file = TRY(directory.Find(volume, files));
  if (const DeviceVolumes* devices = directory.devices()) return devices->Snapshots(volume);
  std::vector<block::Snapshot> snapshots;
  const UniqueFd fd = TRY(directory.OpenVolume(file, O_RDONLY));
  TRY(Examine(directory, file, fd.get(), files));
  if (file.format == "raw") return snapshots;
  const auto image = TRY(block::CreateFileImage(TRY(Duplicate(fd.get())), {.read_only = true}));
  const auto header = TRY(block::qcow2::ReadHeader(image.get()));
  for (auto& stored : TRY(block::qcow2::ReadSnapshots(image.get(), header)))
    snapshots.push_back(std::move(stored.snapshot));
  return snapshots;
}

// Only what the volume is afterwards needs it for itself.
Status ChangeOfDevice(const VolumePool& pool, const DeviceVolumes& devices, const SnapshotName& name,
                      SnapshotChange change) {
  const VolumeFile file = TRY(pool.Find(name.volume.id));
  TRY(CheckSnapshots(TRY(devices.Snapshots(file.id)), name, change));
  if (change == SnapshotChange::kCreate) return devices.CreateSnapshot(file.id, name.id);
  if (change == SnapshotChange::kDelete) return devices.DeleteSnapshot(file.id, name.id);
  UniqueFd lock = TRY(pool.OpenVolume(file, O_RDWR));
  TRY(LockVolume(pool, file, lock.get(), {.read = false, .write = true, .resize = true}));
  return devices.ApplySnapshot(file, name.id, std::move(lock));
}

}  // namespace

Result<std::vector<v1::VolumeSnapshot>> ShowSnapshots(const VolumePool& directory,
                                                      const std::string& volume) {
  std::vector<v1::VolumeSnapshot> shown;
  for (const block::Snapshot& snapshot : TRY(StoredSnapshots(directory, volume))) {
    if (!IsResourceId(snapshot.name)) continue;
    v1::VolumeSnapshot& one = shown.emplace_back();
    one.set_name(
        SnapshotName{.volume = {.pool = directory.pool(), .id = volume}, .id = snapshot.name}.ToString());
    one.set_size_bytes(static_cast<int64_t>(std::min(snapshot.disk_bytes, kMaxVolumeBytes)));
    one.mutable_create_time()->set_seconds(snapshot.date_seconds);
  }
  std::sort(shown.begin(), shown.end(), [](const auto& a, const auto& b) { return a.name() < b.name(); });
  return shown;
}

Status CheckSnapshotChange(const VolumePool& directory, const SnapshotName& name, SnapshotChange change) {
  if (TRY(directory.Find(name.volume.id)).format == "raw" && directory.devices() == nullptr)
    return NotSupported(name.volume.ToString());
  return CheckSnapshots(TRY(StoredSnapshots(directory, name.volume.id)), name, change);
}

Status ChangeSnapshot(const VolumePool& directory, const SnapshotName& name, SnapshotChange change) {
  if (const DeviceVolumes* devices = directory.devices())
    return ChangeOfDevice(directory, *devices, name, change);
  const auto image = TRY(block::OpenLayers(
      TRY(OpenVolumeChain(directory, name.volume.id, {.writable = true})), {.writable = true}));
  auto* const store = dynamic_cast<block::SnapshotStore*>(image.get());
  if (store == nullptr) return NotSupported(name.volume.ToString());
  TRY(CheckSnapshots(image->Snapshots(), name, change));
  const block::SnapshotKey key{.name = name.id};
  switch (change) {
    case SnapshotChange::kCreate:
      TRY(store->CreateSnapshot(block::NewSnapshot(name.id)));
      break;
    case SnapshotChange::kApply:
      TRY(store->ApplySnapshot(key));
      break;
    case SnapshotChange::kDelete:
      TRY(store->DeleteSnapshot(key));
      break;
  }
  return block::ToStatus(block::Flush(image.get()), "write the volume");
}

}  // namespace berth::server
