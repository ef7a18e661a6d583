#include "server/guest/quiesce.h"
#include "server/guest/verbs_internal.h"
#include "server/volume/running_user.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {
namespace {

// Its monitor has the image, if it is one.
Status ChangeInGuest(Engine& engine, const VolumeUser& user, const VolumePool& directory,
                     const SnapshotName& name, SnapshotChange change, v1::VolumeSnapshot::Quiesce quiesce,
                     OperationProgress& progress) {
  TRY(CheckSnapshotChange(directory, name, change));
  control::Request request;
  request.mutable_change_snapshot()->set_id(user.disk_id);
  request.mutable_change_snapshot()->set_name(name.id);
  request.mutable_change_snapshot()->set_remove(change == SnapshotChange::kDelete);
  if (change == SnapshotChange::kDelete) quiesce = v1::VolumeSnapshot::NEVER;
  return WorkOnGuest(engine, user, "snapshot", [&](GuestEntry& guest, Vmm& vmm) {
    return WhileQuiesced(engine, guest, quiesce, progress, [&]() -> Status {
      if (directory.devices() != nullptr) return ChangeSnapshot(directory, name, change);
      TRY(vmm.Call(std::move(request), {}, kImageTimeout));
      return Ok();
    });
  });
}

}  // namespace

Result<std::vector<v1::VolumeSnapshot>> VolumeVerbs::ListSnapshots(const std::string& parent) const {
  const VolumeName name = TRY(ParseVolumeName(parent, "parent"));
  return ShowSnapshots(*TRY(OpenPool(name.pool)), name.id);
}

Result<Operation> VolumeVerbs::CreateSnapshot(const v1::CreateVolumeSnapshotRequest& request) {
  const SnapshotName name{.volume = TRY(ParseVolumeName(request.parent(), "parent")),
                          .id = request.snapshot_id()};
  TRY(CheckNewId("snapshot_id", name.id));
  TRY(CheckQuiesce(request.quiesce()));
  return BeginSnapshotChange(
      {.verb = "create", .target = name.ToString(), .request_id = request.request_id()}, name,
      SnapshotChange::kCreate, request.quiesce());
}

Result<Operation> VolumeVerbs::ApplySnapshot(const v1::ApplyVolumeSnapshotRequest& request) {
  return BeginSnapshotChange({.verb = "apply", .target = request.name(), .request_id = request.request_id()},
                             TRY(ParseInVolume<SnapshotName>(request.name(), "snapshot")),
                             SnapshotChange::kApply);
}

Result<Operation> VolumeVerbs::DeleteSnapshot(const v1::DeleteVolumeSnapshotRequest& request) {
  return BeginSnapshotChange({.verb = "delete", .target = request.name(), .request_id = request.request_id()},
                             TRY(ParseInVolume<SnapshotName>(request.name(), "snapshot")),
                             SnapshotChange::kDelete);
}

Result<Operation> VolumeVerbs::ChangeContent(const OperationRequest& asked, const VolumeName& volume,
                                             ContentWork work) {
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const VolumePoolPtr directory = TRY(OpenPool(volume.pool));
  TRY(directory->Find(volume.id));
  return engine_.operations.Start(asked, [directory, work = std::move(work)](OperationProgress& progress) {
    return work(*directory, progress);
  });
}

Result<Operation> VolumeVerbs::BeginSnapshotChange(const OperationRequest& asked, const SnapshotName& name,
                                                   SnapshotChange change,
                                                   v1::VolumeSnapshot::Quiesce quiesce) {
  return ChangeContent(asked, name.volume,
                       [this, name, change, quiesce](const VolumePool& directory, OperationProgress& progress)
                           -> Result<std::unique_ptr<google::protobuf::Message>> {
                         const auto user = FindRunningUser(engine_.book, name.volume.ToString());
                         // The disk of a guest that runs does not become another under it.
                         if (user && change != SnapshotChange::kApply) {
                           TRY(ChangeInGuest(engine_, *user, directory, name, change, quiesce, progress));
                         } else {
                           TRY(ChangeSnapshot(directory, name, change));
                         }
                         if (change == SnapshotChange::kDelete)
                           return std::make_unique<google::protobuf::Empty>();
                         return FindShown(TRY(ShowSnapshots(directory, name.volume.id)), name.ToString());
                       });
}

}  // namespace berth::server
