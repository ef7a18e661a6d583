// A running guest's disk becomes a copy of itself: MirrorDisk.
#include "server/guest/disk_change.h"
#include "server/guest/disk_job.h"
#include "server/guest/field_error.h"
#include "server/guest/mirror_mark.h"
#include "server/guest/verbs_internal.h"
#include "server/volume/volume_facts.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {
namespace {

// The size of the disk's volume, which can be copied under its guest.
Result<uint64_t> SizeOf(const PoolDirectory& directory, const v1::Guest& guest, const VolumeDisk& disk) {
  const std::vector<VolumeFile> files = TRY(directory.List());
  const VolumeFile file = TRY(directory.Find(disk.volume.id, files));
  if (file.format != "raw") return TRY(LookAt(directory, file, files)).size_bytes;
  return Fail(
      Error(Code::kFailedPrecondition,
            fmt::format("{}'s disk {} is the raw volume {}: it can be cloned while the guest does not run",
                        guest.name(), disk.id, disk.volume.ToString()))
          .Reason("DISK_RAW")
          .With("resource", guest.name())
          .Field("disk_id"));
}

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
  if (request.bytes_per_second() < 0)
    return BadPath("bytes_per_second", "{} is less than 0", request.bytes_per_second());
  const std::string format = TRY(CheckFormat(
      "format", request.format() == v1::Volume::FORMAT_UNSPECIFIED ? v1::Volume::QCOW2 : request.format()));
  const OperationRequest asked{
      .verb = "mirror", .target = request.name(), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const GuestPtr guest = TRY(engine_.book.Find(request.name()));
  TRY(BeginOperation(guest, asked.verb));
  OperationScope until_started(engine_, guest);
  TRY(CheckTransition(guest->Get(), Verb::kChangeDisk));
  TRY(SettleDiskChange(engine_, *guest));
  const VolumeDisk disk = TRY(FindVolumeDisk(guest->Get(), request.disk_id()));
  const uint64_t size_bytes = TRY(SizeOf(TRY(OpenPool(disk.volume.pool)), guest->Get(), disk));
  PoolDirectory directory =
      TRY(OpenPool(request.parent().empty() ? disk.volume.pool : TRY(PoolOf(request.parent()))));
  VolumePlan plan{.name = {.pool = directory.pool(), .id = request.volume_id()},
                  .file = {.id = request.volume_id(), .base = "", .format = format},
                  .size_bytes = size_bytes};
  RoomLedger::Claim room = TRY(TakeRoom(directory, size_bytes));
  std::shared_ptr<VolumeMaking> making =
      TRY(VolumeMaking::Begin(std::move(directory), std::move(plan), std::move(room)));
  Result<Operation> operation = engine_.operations.Start(
      asked,
      [this, guest, disk, making = std::move(making),
       rate = static_cast<uint64_t>(request.bytes_per_second())](
          OperationProgress& progress) mutable -> Result<std::unique_ptr<google::protobuf::Message>> {
        OperationScope scope(engine_, guest);
        const auto mine = std::move(making);
        TRY(Mirror(engine_, *guest, disk, *mine, rate, progress));
        return ResponseOf(guest->Get());
      });
  if (operation) until_started.HandOn();
  return operation;
}

}  // namespace berth::server
