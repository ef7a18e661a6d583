#include "server/guest/disk_job.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "server/guest/running_vmm.h"

namespace berth::server {
namespace {

// How often it is looked at.
constexpr std::chrono::milliseconds kLookTime{200};
// What is left is copied, and an image's tables are written.
constexpr std::chrono::minutes kCompleteTimeout{5};

Result<std::shared_ptr<Vmm>> VmmOf(GuestEntry& guest) {
  MutexLock lock(guest.mutex);
  const bool over =
      guest.vmm_gone || guest.machine_state == control::POWERED_OFF || guest.machine_state == control::FAILED;
  if (guest.vmm && !over) return guest.vmm;
  return GuestEnding(guest.name);
}

Status AwaitReady(GuestEntry& guest, const std::string& disk_id, OperationProgress& progress) {
  const auto sane = [](uint64_t bytes) { return std::min(bytes, static_cast<uint64_t>(INT64_MAX)); };
  control::Request read;
  read.mutable_read_disk_job()->set_id(disk_id);
  while (true) {
    const control::DiskJob job = TRY(TRY(VmmOf(guest))->Call(read)).disk_job();
    progress.ReportBytes("copy", sane(job.done_bytes()), sane(job.all_bytes()));
    TRY(progress.CheckNotCancelled());
    if (job.ready()) return Ok();
    MutexLock lock(guest.mutex);
    (void)lock.WaitUntil(guest.changed, std::chrono::steady_clock::now() + kLookTime);
  }
}

// The guest may have written more in between.
Status AwaitAndComplete(GuestEntry& guest, const VolumeDisk& disk, const DiskJobPlan& plan,
                        OperationProgress& progress) {
  control::Request end;
  end.mutable_end_disk_job()->set_id(disk.id);
  end.mutable_end_disk_job()->set_complete(true);
  end.mutable_end_disk_job()->set_volume(plan.becomes.ToString());
  TRY(AwaitReady(guest, disk.id, progress));
  UniqueFd mark;
  std::vector<int> fds;
  if (plan.before_completing) {
    mark = TRY(plan.before_completing());
    end.mutable_end_disk_job()->set_mark_fd_plus_one(1);
    fds.push_back(mark.get());
  }
  while (true) {
    const auto reply = TRY(VmmOf(guest))->Call(end, fds, kCompleteTimeout);
    if (reply) return Ok();
    if (reply.error().reason() != "JOB_NOT_READY") return Fail(reply.error());
    TRY(AwaitReady(guest, disk.id, progress));
  }
}

Status Start(GuestEntry& guest, const VolumeDisk& disk, DiskJobPlan& plan) {
  control::Request start;
  start.mutable_start_disk_job()->set_id(disk.id);
  start.mutable_start_disk_job()->set_kind(plan.kind);
  start.mutable_start_disk_job()->set_bytes_per_second(plan.bytes_per_second);
  const UniqueFd target = std::move(plan.target);  // Whose locks are the VMM's alone from then on.
  std::vector<int> fds;
  if (target) {
    start.mutable_start_disk_job()->mutable_target()->set_format(plan.target_format);
    fds.push_back(target.get());
  }
  TRY(TRY(VmmOf(guest))->Call(std::move(start), fds));
  return Ok();
}

}  // namespace

Status RunDiskJob(GuestEntry& guest, const VolumeDisk& disk, DiskJobPlan plan, OperationProgress& progress) {
  TRY(Start(guest, disk, plan));
  Status completed = AwaitAndComplete(guest, disk, plan, progress);
  if (completed) return completed;
  // If the guest is ending, or completing failed, it has ended.
  control::Request end;
  end.mutable_end_disk_job()->set_id(disk.id);
  if (const auto vmm = VmmOf(guest)) (void)(*vmm)->Call(std::move(end));
  return completed;
}

}  // namespace berth::server
