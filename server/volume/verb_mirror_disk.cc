// A running guest's disk becomes a copy of itself: MirrorDisk.
#include "server/guest/disk_change.h"
#include "server/guest/disk_job.h"
#include "server/guest/mirror_mark.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {
namespace {

// The volume gets its name when it is nearly complete, and before the guest has it.
Status Mirror(Engine& engine, GuestEntry& guest, const VolumeDisk& disk, VolumeMaking& making,
              uint64_t bytes_per_second, OperationProgress& progress) {
  const VolumePlan& plan = making.plan();
  const MirrorMark mark(engine.settings.state_dir, guest.uid);
  const auto publish = [&]() -> Result<UniqueFd> {
    UniqueFd file = TRY(mark.Create());
    Status published = making.Publish(progress);
    if (published) return file;
    TRY(mark.Remove());  // What has this name is another volume.
    return Fail(std::move(published).error());
  };
  TRY(making.Format());
  UniqueFd target = TRY(making.OpenForGuest(disk.direct));
  TRY(mark.Remove());
  TRY(RecordDiskChange(engine, guest, disk, plan.name, /*mirror=*/true));
  const Status done = RunDiskJob(guest, disk,
                                 {.kind = control::StartDiskJob::MIRROR,
                                  .becomes = plan.name,
                                  .bytes_per_second = bytes_per_second,
                                  .target_format = plan.file.format,
                                  .target = std::move(target),
                                  .before_completing = publish},
                                 progress);
  return SettleDiskChange(engine, guest, disk, plan.name, done);
}

}  // namespace

Result<Operation> VolumeVerbs::MirrorDisk(const v1::MirrorDiskRequest& request) {
  TRY(CheckNewId("volume_id", request.volume_id()));
  const uint64_t rate = TRY(RateOf(request.bytes_per_second()));
  const auto plan = [&](const v1::Guest& guest, const VolumeDisk& disk) -> Result<DiskWork> {
    const uint64_t size_bytes = TRY(SizeOfImage(*TRY(OpenPool(disk.volume.pool)), guest, disk,
                                                "it can be cloned while the guest does not run"));
    const VolumePoolPtr directory =
        TRY(OpenPool(request.parent().empty() ? disk.volume.pool : TRY(PoolOf(request.parent()))));
    const std::string format = TRY(CheckFormat("format", request.format(), *directory));
    VolumePlan copy{.name = {.pool = directory->pool(), .id = request.volume_id()},
                    .file = {.id = request.volume_id(), .base = "", .format = format},
                    .size_bytes = size_bytes};
    RoomLedger::Claim room = TRY(TakeRoom(*directory, size_bytes));
    std::shared_ptr<VolumeMaking> making =
        TRY(VolumeMaking::Begin(directory, std::move(copy), std::move(room)));
    return [this, disk, rate, making = std::move(making)](GuestEntry& entry, OperationProgress& progress) {
      return Mirror(engine_, entry, disk, *making, rate, progress);
    };
  };
  return ChangeDisk({.verb = "mirror", .target = request.name(), .request_id = request.request_id()},
                    request.disk_id(), plan);
}

}  // namespace berth::server
