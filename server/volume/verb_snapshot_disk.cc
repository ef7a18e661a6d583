#include "server/guest/disk_change.h"
#include "server/guest/verbs_internal.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_facts.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {
namespace {

// A new volume over the disk's.
Result<VolumePlan> PlanAbove(const PoolDirectory& directory, const v1::Guest& guest, const VolumeDisk& disk,
                             const std::string& id) {
  const std::vector<VolumeFile> files = TRY(directory.List());
  const VolumeFile base = TRY(directory.Find(disk.volume.id, files));
  if (base.format == "raw") {
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("{}'s disk {} is the raw volume {}: a volume can be made to stand on it "
                                  "while the guest does not run",
                                  guest.name(), disk.id, disk.volume.ToString()))
                    .Reason("DISK_RAW")
                    .With("resource", guest.name())
                    .Field("disk_id"));
  }
  return VolumePlan{.name = {.pool = directory.pool(), .id = id},
                    .file = {.id = id, .base = base.id, .format = "qcow2"},
                    .size_bytes = TRY(LookAt(directory, base, files)).size_bytes,
                    .base_is_written_to = true};
}

// Whatever becomes of it, the record of it ends, or is there for who comes next.
Status GoOnWith(Engine& engine, GuestEntry& guest, const VolumeDisk& disk, VolumeMaking& making,
                OperationProgress& progress) {
  const VolumeName& name = making.plan().name;
  TRY(RecordDiskChange(engine, guest, disk, name));
  if (Status published = making.Publish(progress); !published) {
    TRY(ForgetDiskChange(engine, guest));
    return published;
  }
  Status handed_over = [&]() -> Status {
    return HandOver(guest, disk, name,
                    TRY(OpenVolumeChain(making.directory(), name.id,
                                        {.writable = true, .direct = disk.direct, .taken_over_from = 1})));
  }();
  const Status settled = SettleDiskChange(engine, guest);
  if (guest.Get().spec().disks(disk.index).volume() == name.ToString()) return Ok();
  return handed_over ? settled : handed_over;
}

}  // namespace

Result<Operation> VolumeVerbs::SnapshotDisk(const v1::SnapshotDiskRequest& request) {
  TRY(CheckNewId("volume_id", request.volume_id()));
  const OperationRequest asked{
      .verb = "snapshot", .target = request.name(), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const GuestPtr guest = TRY(engine_.book.Find(request.name()));
  TRY(BeginOperation(guest, asked.verb));
  OperationScope until_started(engine_, guest);
  TRY(CheckTransition(guest->Get(), Verb::kChangeDisk));
  TRY(SettleDiskChange(engine_, *guest));
  const VolumeDisk disk = TRY(FindVolumeDisk(guest->Get(), request.disk_id()));
  PoolDirectory directory = TRY(OpenPool(disk.volume.pool));
  VolumePlan plan = TRY(PlanAbove(directory, guest->Get(), disk, request.volume_id()));
  RoomLedger::Claim room = TRY(TakeRoom(directory, plan.size_bytes));
  std::shared_ptr<VolumeMaking> making =
      TRY(VolumeMaking::Begin(std::move(directory), std::move(plan), std::move(room)));
  Result<Operation> operation = engine_.operations.Start(
      asked,
      [this, guest, disk, making = std::move(making)](
          OperationProgress& progress) mutable -> Result<std::unique_ptr<google::protobuf::Message>> {
        OperationScope scope(engine_, guest);
        const auto mine = std::move(making);
        progress.Report("make the volume", 0, 2);
        TRY(mine->Format());
        progress.Report("have the guest go on with it", 1, 2);
        TRY(GoOnWith(engine_, *guest, disk, *mine, progress));
        return ResponseOf(guest->Get());
      });
  if (operation) until_started.HandOn();
  return operation;
}

}  // namespace berth::server
