#include "server/guest/disk_change.h"
#include "server/guest/quiesce.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {
namespace {

// Whatever becomes of it, the record of it ends, or is there for who comes next.
Status GoOnWith(Engine& engine, GuestEntry& guest, const VolumeDisk& disk, VolumeMaking& making,
                v1::VolumeSnapshot::Quiesce quiesce, OperationProgress& progress) {
  const VolumeName& name = making.plan().name;
  TRY(RecordDiskChange(engine, guest, disk, name));
  if (Status published = making.Publish(progress); !published) {
    TRY(ForgetDiskChange(engine, guest));
    return published;
  }
  Status handed_over = [&]() -> Status {
    auto layers = TRY(OpenVolumeChain(making.directory(), name.id,
                                      {.writable = true, .direct = disk.direct, .taken_over_from = 1}));
    return WhileQuiesced(engine, guest, quiesce, progress,
                         [&] { return HandOver(guest, disk, name, std::move(layers)); });
  }();
  const Status settled = SettleDiskChange(engine, guest);
  const bool has_it = guest.Get().spec().disks(disk.index).volume() == name.ToString();
  if (has_it && (handed_over || handed_over.error().reason() != "QUIESCE_LOST")) return Ok();
  return handed_over ? settled : handed_over;
}

}  // namespace

Result<Operation> VolumeVerbs::SnapshotDisk(const v1::SnapshotDiskRequest& request) {
  TRY(CheckNewId("volume_id", request.volume_id()));
  TRY(CheckQuiesce(request.quiesce()));
  const auto plan = [&](const v1::Guest& guest, const VolumeDisk& disk) -> Result<DiskWork> {
    const VolumePoolPtr directory = TRY(OpenPool(disk.volume.pool));
    const char* const instead = directory->devices() != nullptr
                                    ? "a snapshot of the volume can be kept, also while the guest runs"
                                    : "a volume can be made to stand on it while the guest does not run";
    VolumePlan above{.name = {.pool = directory->pool(), .id = request.volume_id()},
                     .file = {.id = request.volume_id(), .base = disk.volume.id, .format = "qcow2"},
                     .size_bytes = TRY(SizeOfImage(*directory, guest, disk, instead)),
                     .base_is_written_to = true};
    RoomLedger::Claim room = TRY(TakeRoom(*directory, above.size_bytes));
    std::shared_ptr<VolumeMaking> making =
        TRY(VolumeMaking::Begin(directory, std::move(above), std::move(room)));
    return [this, disk, quiesce = request.quiesce(), making = std::move(making)](
               GuestEntry& entry, OperationProgress& progress) -> Status {
      progress.Report("make the volume", 0, 2);
      TRY(making->Format());
      progress.Report("have the guest go on with it", 1, 2);
      return GoOnWith(engine_, entry, disk, *making, quiesce, progress);
    };
  };
  return ChangeDisk({.verb = "snapshot", .target = request.name(), .request_id = request.request_id()},
                    request.disk_id(), plan);
}

}  // namespace berth::server
