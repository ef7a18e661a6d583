// Bringing together what a running guest's disk stands on: StreamDisk and CommitDisk.
#include "server/guest/disk_change.h"
#include "server/guest/disk_job.h"
#include "server/guest/field_error.h"
#include "server/guest/verbs_internal.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {
namespace {

// The file of the disk's volume, which stands on another.
Result<VolumeFile> FindAbove(const PoolDirectory& directory, const v1::Guest& guest, const VolumeDisk& disk) {
  VolumeFile file = TRY(directory.Find(disk.volume.id));
  if (!file.base.empty()) return file;
  return Fail(
      Error(Code::kFailedPrecondition, fmt::format("{}'s disk {} is {}, which stands on no other volume",
                                                   guest.name(), disk.id, disk.volume.ToString()))
          .Reason("NO_BASE")
          .With("resource", guest.name())
          .Field("disk_id"));
}

Status Stream(Engine& engine, GuestEntry& guest, const PoolDirectory& directory, const VolumeDisk& disk,
              uint64_t bytes_per_second, OperationProgress& progress) {
  TRY(RecordDiskChange(engine, guest, disk, disk.volume));
  const Status done = RunDiskJob(
      guest, disk,
      {.kind = control::StartDiskJob::STREAM, .becomes = disk.volume, .bytes_per_second = bytes_per_second},
      progress);
  TRY(SettleDiskChange(engine, guest, disk, disk.volume, done));
  if (TRY(directory.Find(disk.volume.id)).base.empty()) return Ok();
  return Fail(VmmProtocolError("a disk that is to stand alone by now does not"));
}

// Nobody else's content is what the base has.
Status CheckOnlyDependent(const PoolDirectory& directory, const VolumeFile& file) {
  for (const std::string& dependent : TRY(directory.DependentsOf(file.base))) {
    if (dependent != file.id) return CheckNoDependents(directory, file.base, "written to");
  }
  return Ok();
}

// The base is written to from now on, and nobody else has it.
Status OpenBase(GuestEntry& guest, const PoolDirectory& directory, const VolumeDisk& disk,
                const VolumeFile& file, const VolumeFile& base) {
  std::vector<block::LayerFiles> layers = TRY(OpenVolumeChain(
      directory, disk.volume.id,
      {.writable = true, .direct = disk.direct, .base_writable = true, .taken_over_from = 0}));
  const UniqueFd same = TRY(Duplicate(layers[1].image.get()));
  TRY(HandOver(guest, disk, disk.volume, std::move(layers)));
  // The monitor has given up what it had of it: who has it now is somebody else.
  TRY(LockVolume(directory, base, same.get(), {.write = true, .resize = base.format != "raw"}));
  // Again behind the lock: what is to stand on it from now on finds that.
  return CheckOnlyDependent(directory, file);
}

Status Commit(Engine& engine, GuestEntry& guest, const PoolDirectory& directory, const VolumeDisk& disk,
              uint64_t bytes_per_second, OperationProgress& progress) {
  const VolumeFile file = TRY(FindAbove(directory, guest.Get(), disk));
  const VolumeFile base = TRY(directory.Find(file.base));
  const VolumeName becomes{.pool = directory.pool(), .id = base.id};
  TRY(RecordDiskChange(engine, guest, disk, becomes));
  Status done = OpenBase(guest, directory, disk, file, base);
  if (done) {
    done = RunDiskJob(
        guest, disk,
        {.kind = control::StartDiskJob::COMMIT, .becomes = becomes, .bytes_per_second = bytes_per_second},
        progress);
  }
  return SettleDiskChange(engine, guest, disk, becomes, done);
}

}  // namespace

template <typename Request, typename Work>
Result<Operation> VolumeVerbs::BeginDiskJob(const std::string& verb, const Request& request, Work work) {
  if (request.bytes_per_second() < 0)
    return BadPath("bytes_per_second", "{} is less than 0", request.bytes_per_second());
  const OperationRequest asked{.verb = verb, .target = request.name(), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const GuestPtr guest = TRY(engine_.book.Find(request.name()));
  TRY(BeginOperation(guest, asked.verb));
  OperationScope until_started(engine_, guest);
  TRY(CheckTransition(guest->Get(), Verb::kChangeDisk));
  TRY(SettleDiskChange(engine_, *guest));
  const VolumeDisk disk = TRY(FindVolumeDisk(guest->Get(), request.disk_id()));
  const auto directory = std::make_shared<PoolDirectory>(TRY(OpenPool(disk.volume.pool)));
  const VolumeFile file = TRY(FindAbove(*directory, guest->Get(), disk));
  if (verb == "commit") {
    TRY(CheckOnlyDependent(*directory, file));
    TRY(CheckNoGuestHas(directory->NameOf(file.base), /*writing=*/false, "written to"));
  }
  Result<Operation> operation = engine_.operations.Start(
      asked,
      [this, guest, disk, directory, work, rate = static_cast<uint64_t>(request.bytes_per_second())](
          OperationProgress& progress) -> Result<std::unique_ptr<google::protobuf::Message>> {
        OperationScope scope(engine_, guest);
        TRY(work(*guest, *directory, disk, rate, progress));
        return ResponseOf(guest->Get());
      });
  if (operation) until_started.HandOn();
  return operation;
}

Result<Operation> VolumeVerbs::StreamDisk(const v1::StreamDiskRequest& request) {
  return BeginDiskJob("stream", request,
                      [this](GuestEntry& guest, const PoolDirectory& directory, const VolumeDisk& disk,
                             uint64_t rate, OperationProgress& progress) {
                        return Stream(engine_, guest, directory, disk, rate, progress);
                      });
}

Result<Operation> VolumeVerbs::CommitDisk(const v1::CommitDiskRequest& request) {
  return BeginDiskJob("commit", request,
                      [this](GuestEntry& guest, const PoolDirectory& directory, const VolumeDisk& disk,
                             uint64_t rate, OperationProgress& progress) {
                        return Commit(engine_, guest, directory, disk, rate, progress);
                      });
}

}  // namespace berth::server
