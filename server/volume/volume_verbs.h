// What callers do to volumes. Whatever can be refused is refused at once; the rest is an operation.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "berth/v1/guest_service.pb.h"
#include "berth/v1/volume_service.pb.h"
#include "server/guest/engine.h"
#include "server/volume/change_content.h"
#include "server/volume/change_disk.h"
#include "server/volume/volume_making.h"
#include "server/volume/volume_request.h"
#include "server/volume/volume_snapshots.h"

namespace berth::server {

// Any thread. Borrows the engine. That two things are not done with one volume at once is what the locks of
// its file are for; monitors of guests hold them, and other programs do.
class VolumeVerbs {
 public:
  explicit VolumeVerbs(Engine& engine) : engine_(engine) {}

  // Removes what a daemon before this one left half made, and tells of pools that cannot be used.
  void CleanUp();

  std::vector<v1::Pool> Pools() const;
  // NOT_FOUND, POOL_NOT_FOUND.
  Result<v1::Pool> GetPool(const std::string& name) const;
  // INVALID_ARGUMENT, INVALID_FIELD; NOT_FOUND: POOL_NOT_FOUND, VOLUME_NOT_FOUND; VolumePool's.
  Result<v1::Volume> Get(const std::string& name) const;
  Result<std::vector<v1::Volume>> List(const std::string& parent) const;

  Result<Operation> Create(const v1::CreateVolumeRequest& request);
  Result<Operation> Delete(const v1::DeleteVolumeRequest& request);
  Result<Operation> Resize(const v1::ResizeVolumeRequest& request);
  Result<Operation> Clone(const v1::CloneVolumeRequest& request);
  Result<Operation> Import(const v1::ImportVolumeRequest& request);

  // Volumes under running guests.
  Result<Operation> SnapshotDisk(const v1::SnapshotDiskRequest& request);
  Result<Operation> StreamDisk(const v1::StreamDiskRequest& request);
  Result<Operation> CommitDisk(const v1::CommitDiskRequest& request);
  Result<Operation> MirrorDisk(const v1::MirrorDiskRequest& request);

  Result<std::vector<v1::VolumeSnapshot>> ListSnapshots(const std::string& parent) const;
  Result<Operation> CreateSnapshot(const v1::CreateVolumeSnapshotRequest& request);
  Result<Operation> ApplySnapshot(const v1::ApplyVolumeSnapshotRequest& request);
  Result<Operation> DeleteSnapshot(const v1::DeleteVolumeSnapshotRequest& request);

  // Holds the operation of the guest that writes to the volume, if one runs.
  Result<std::vector<v1::VolumeBitmap>> ListBitmaps(const std::string& parent);
  Result<Operation> CreateBitmap(const v1::CreateVolumeBitmapRequest& request);
  Result<Operation> DeleteBitmap(const v1::DeleteVolumeBitmapRequest& request);

 private:
  Result<VolumePoolPtr> OpenPool(const std::string& id) const;
  Result<Operation> BeginCreate(const std::string& verb, const v1::CreateVolumeRequest& request);
  Result<Operation> BeginCopy(const v1::CloneVolumeRequest& request, const VolumeName& source);
  Result<Operation> ChangeContent(const OperationRequest& asked, const VolumeName& volume, ContentWork work);
  Result<Operation> BeginSnapshotChange(const OperationRequest& asked, const SnapshotName& name,
                                        SnapshotChange change,
                                        v1::VolumeSnapshot::Quiesce quiesce = v1::VolumeSnapshot::NEVER);
  // Whoever asks for it gets an operation with the guest `asked.target`, or hears what is in the way.
  Result<Operation> ChangeDisk(const OperationRequest& asked, const std::string& disk_id,
                               const DiskWorkPlan& plan);
  Result<RoomLedger::Claim> TakeRoom(const VolumePool& directory, uint64_t more_bytes);
  Result<VolumePlan> PlanNew(const v1::CreateVolumeRequest& request, const VolumePool& directory) const;
  // Publishes it; the operation's response.
  Result<std::unique_ptr<google::protobuf::Message>> Finish(VolumeMaking& making,
                                                            const OperationProgress& progress) const;
  // FAILED_PRECONDITION, VOLUME_IN_USE, if a guest has it as a disk; `writing`: as one that it may write to.
  Status CheckNoGuestHas(const std::string& name, bool writing, std::string_view done) const;

  Engine& engine_;
  RoomLedger room_;
  // Held from looking for an operation of the same request until there is one.
  Mutex admission_;
};

}  // namespace berth::server
