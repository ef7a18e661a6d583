// Bringing together what a running guest's disk stands on: StreamDisk and CommitDisk.
#include "server/guest/disk_change.h"
#include "server/guest/disk_job.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {
namespace {

// The file of the disk's volume, which stands on another.
Result<VolumeFile> FindAbove(const VolumePool& directory, const v1::Guest& guest, const VolumeDisk& disk) {
  VolumeFile file = TRY(directory.Find(disk.volume.id));
  if (!file.base.empty()) return file;
  return Fail(
      Error(Code::kFailedPrecondition, fmt::format("{}'s disk {} is {}, which stands on no other volume",
                                                   guest.name(), disk.id, disk.volume.ToString()))
          .Reason("NO_BASE")
          .With("resource", guest.name())
          .Field("disk_id"));
}

Status Stream(Engine& engine, GuestEntry& guest, const VolumePool& directory, const VolumeDisk& disk,
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
Status CheckOnlyDependent(const VolumePool& directory, const VolumeFile& file) {
  for (const std::string& dependent : TRY(directory.DependentsOf(file.base))) {
    if (dependent != file.id) return CheckNoDependents(directory, file.base, "written to");
  }
  return Ok();
}

// The base is written to from now on, and nobody else has it.
Status OpenBase(GuestEntry& guest, const VolumePool& directory, const VolumeDisk& disk,
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

Status Commit(Engine& engine, GuestEntry& guest, const VolumePool& directory, const VolumeDisk& disk,
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

Result<Operation> VolumeVerbs::StreamDisk(const v1::StreamDiskRequest& request) {
  const uint64_t rate = TRY(RateOf(request.bytes_per_second()));
  const auto plan = [&](const v1::Guest& guest, const VolumeDisk& disk) -> Result<DiskWork> {
    const VolumePoolPtr directory = TRY(OpenPool(disk.volume.pool));
    TRY(FindAbove(*directory, guest, disk));
    return [this, disk, directory, rate](GuestEntry& entry, OperationProgress& progress) {
      return Stream(engine_, entry, *directory, disk, rate, progress);
    };
  };
  return ChangeDisk({.verb = "stream", .target = request.name(), .request_id = request.request_id()},
                    request.disk_id(), plan);
}

Result<Operation> VolumeVerbs::CommitDisk(const v1::CommitDiskRequest& request) {
  const uint64_t rate = TRY(RateOf(request.bytes_per_second()));
  const auto plan = [&](const v1::Guest& guest, const VolumeDisk& disk) -> Result<DiskWork> {
    const VolumePoolPtr directory = TRY(OpenPool(disk.volume.pool));
    const VolumeFile file = TRY(FindAbove(*directory, guest, disk));
    TRY(CheckOnlyDependent(*directory, file));
    TRY(CheckNoGuestHas(directory->NameOf(file.base), /*writing=*/false, "written to"));
    return [this, disk, directory, rate](GuestEntry& entry, OperationProgress& progress) {
      return Commit(engine_, entry, *directory, disk, rate, progress);
    };
  };
  return ChangeDisk({.verb = "commit", .target = request.name(), .request_id = request.request_id()},
                    request.disk_id(), plan);
}

}  // namespace berth::server
