#include "server/volume/change_disk.h"

#include "server/guest/verbs_internal.h"
#include "server/volume/volume_facts.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {

Result<uint64_t> SizeOfImage(const VolumePool& directory, const v1::Guest& guest, const VolumeDisk& disk,
                             std::string_view instead) {
  const std::vector<VolumeFile> files = TRY(directory.List());
  const VolumeFile file = TRY(directory.Find(disk.volume.id, files));
  if (file.format != "raw") return TRY(LookAt(directory, file, files)).size_bytes;
  return Fail(
      Error(Code::kFailedPrecondition, fmt::format("{}'s disk {} is the raw volume {}: {}", guest.name(),
                                                   disk.id, disk.volume.ToString(), instead))
          .Reason("DISK_RAW")
          .With("resource", guest.name())
          .Field("disk_id"));
}

Result<Operation> VolumeVerbs::ChangeDisk(const OperationRequest& asked, const std::string& disk_id,
                                          const DiskWorkPlan& plan) {
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const GuestPtr guest = TRY(engine_.book.Find(asked.target));
  TRY(BeginOperation(guest, asked.verb));
  OperationScope until_started(engine_, guest);
  TRY(CheckTransition(guest->Get(), Verb::kChangeDisk));
  TRY(SettleDiskChange(engine_, *guest));
  DiskWork work = TRY(plan(guest->Get(), TRY(FindVolumeDisk(guest->Get(), disk_id))));
  Result<Operation> operation = engine_.operations.Start(
      asked,
      [this, guest, work = std::move(work)](
          OperationProgress& progress) mutable -> Result<std::unique_ptr<google::protobuf::Message>> {
        OperationScope scope(engine_, guest);
        const DiskWork mine = std::move(work);
        TRY(mine(*guest, progress));
        return ResponseOf(guest->Get());
      });
  if (operation) until_started.HandOn();
  return operation;
}

}  // namespace berth::server
