// What is done to the machine's disks while the guest runs.
#include <unistd.h>

#include <cerrno>

#include "block/bitmap.h"
#include "block/layers.h"
#include "block/snapshot.h"
#include "vmm/disk_image.h"
#include "vmm/machine.h"

namespace berth::vmm {
namespace {

Result<block::JobKind> KindOf(v1::StartDiskJob::Kind kind) {
  switch (kind) {
    case v1::StartDiskJob::STREAM:
      return block::JobKind::kStream;
    case v1::StartDiskJob::COMMIT:
      return block::JobKind::kCommit;
    case v1::StartDiskJob::MIRROR:
      return block::JobKind::kMirror;
    default:
      return berth::Fail(Code::kUnimplemented, "a job of a kind that this berth-vmm does not know");
  }
}

// Of an image: what a reply has room for.
constexpr size_t kMaxBitmapsRead = 64;

// For who finds neither the guest nor its VMM any more.
Status Mark(const UniqueFd& file) {
  if (!file) return Ok();
  constexpr char kSet = '1';
  if (::pwrite(file.get(), &kSet, 1, 0) == 1 && ::fdatasync(file.get()) == 0) return Ok();
  return FailErrno(errno, "put on record that a disk's copy is complete");
}

Result<block::BitmapStore*> BitmapsOf(block::FormatImage& image) {
  if (auto* const store = dynamic_cast<block::BitmapStore*>(&image)) return store;
  return berth::Fail(Code::kUnimplemented, "images of this format have no bitmaps");
}

}  // namespace

Result<BuiltDevices::Disk*> Machine::FindDisk(const std::string& id) {
  const auto found = devices_.disks.find(id);
  if (found != devices_.disks.end()) return &found->second;
  return berth::Fail(
      Error(Code::kNotFound, fmt::format("there is no disk {}", id)).Reason("DEVICE_NOT_FOUND"));
}

v1::BlockDevice* Machine::DiskConfig(const std::string& id) {
  for (v1::DeviceConfig& device : *config_.mutable_devices()) {
    if (device.has_block() && device.id() == id) return device.mutable_block();
    if (!device.has_scsi()) continue;
    for (v1::ScsiUnit& unit : *device.mutable_scsi()->mutable_units()) {
      if (unit.id() == id) return unit.mutable_disk();
    }
  }
  return nullptr;
}

Status Machine::SetDiskLimits(const std::string& id, const v1::DiskIoLimits& limits) {
  const std::shared_ptr<block::LimitNode> disk = TRY(FindDisk(id))->limits.lock();
  io_loop_->Call([&] { disk->SetLimits(LimitsOf(limits)); });
  *DiskConfig(id)->mutable_limits() = limits;
  return Ok();
}

Status Machine::GrowDisk(const std::string& id, uint64_t size_bytes) {
  TRY(CheckNotOver());
  TRY(CheckNoJob(id));
  const BuiltDevices::Disk* const disk = TRY(FindDisk(id));
  Status grown = Ok();
  io_loop_->Call([&] { grown = disk->grow(size_bytes); });
  TRY(Context(std::move(grown), "disk " + id));
  DiskConfig(id)->set_size_bytes(size_bytes);
  return Ok();
}

Status Machine::CheckNoJob(const std::string& id) const {
  if (!disk_jobs_.contains(id)) return Ok();
  return berth::Fail(
      Error(Code::kFailedPrecondition, fmt::format("what disk {} stands on is being brought together", id))
          .Reason("DISK_BUSY"));
}

// Lives as long as the machine's devices.
Result<block::ImageNode*> Machine::FindImage(const std::string& id) {
  TRY(CheckNotOver());
  BuiltDevices::Disk* const disk = TRY(FindDisk(id));
  TRY(CheckNoJob(id));
  if (!disk->limits.expired() && disk->image != nullptr) return disk->image;
  return berth::Fail(Error(Code::kFailedPrecondition, fmt::format("disk {} is raw", id)).Reason("DISK_RAW"));
}

Status Machine::ChangeImage(const std::string& id, const block::ImageChange& change) {
  block::ImageNode* const image = TRY(FindImage(id));
  Status changed = Ok();
  io_loop_->Call([&] { changed = image->Exchange(change); });
  return Context(std::move(changed), "disk " + id);
}

Status Machine::ExchangeDisk(const v1::ExchangeDisk& request, Descriptors fds) {
  const v1::BlockDevice& image = request.image();
  std::vector<block::LayerFiles> layers = TRY(TakeLayers(image, &fds));
  TRY(ChangeImage(request.id(), [&](block::FormatImage&) {
    return block::OpenLayers(std::move(layers), FlagsOf(*DiskConfig(request.id())));
  }));
  v1::BlockDevice* const config = DiskConfig(request.id());
  config->set_volume(image.volume());
  config->set_format(image.format());
  config->set_data_fd_plus_one(image.data_fd_plus_one());
  *config->mutable_beneath() = image.beneath();
  return Ok();
}

Status Machine::ChangeSnapshot(const v1::ChangeSnapshot& request) {
  return ChangeImage(request.id(),
                     [&](block::FormatImage& image) -> Result<std::unique_ptr<block::FormatImage>> {
                       auto* const store = dynamic_cast<block::SnapshotStore*>(&image);
                       if (store == nullptr)
                         return berth::Fail(Code::kUnimplemented, "images of this format have no snapshots");
                       if (request.remove()) {
                         TRY(store->DeleteSnapshot({.name = request.name()}));
                       } else {
                         TRY(store->CreateSnapshot(block::NewSnapshot(request.name())));
                       }
                       return nullptr;
                     });
}

Status Machine::ChangeBitmap(const v1::ChangeBitmap& request) {
  return ChangeImage(
      request.id(), [&](block::FormatImage& image) -> Result<std::unique_ptr<block::FormatImage>> {
        block::BitmapStore* const store = TRY(BitmapsOf(image));
        if (request.remove()) {
          TRY(store->RemoveBitmap(request.name()));
        } else {
          TRY(store->AddBitmap({.name = request.name(), .granularity_bytes = request.granularity_bytes()}));
        }
        TRY(store->StoreBitmaps());
        return nullptr;
      });
}

Result<v1::Bitmaps> Machine::ReadBitmaps(const std::string& id) {
  v1::Bitmaps read;
  TRY(ChangeImage(id, [&](block::FormatImage& image) -> Result<std::unique_ptr<block::FormatImage>> {
    block::BitmapStore* const store = TRY(BitmapsOf(image));
    const std::vector<block::BitmapInfo> all = store->Bitmaps();
    if (all.size() > kMaxBitmapsRead)
      return berth::Fail(Code::kResourceExhausted, "the image has {} bitmaps, and {} at most are read",
                         all.size(), kMaxBitmapsRead);
    for (const block::BitmapInfo& info : all) {
      v1::Bitmaps::Bitmap* const bitmap = read.add_bitmaps();
      bitmap->set_name(info.name);
      bitmap->set_granularity_bytes(info.granularity_bytes);
      bitmap->set_inconsistent(info.inconsistent);
      bitmap->set_dirty_bytes(TRY(block::DirtyBytes(store, info)));
    }
    return nullptr;
  }));
  return read;
}

Status Machine::StartDiskJob(const v1::StartDiskJob& request, Descriptors fds) {
  block::ImageNode* const image = TRY(FindImage(request.id()));
  const block::JobKind kind = TRY(KindOf(request.kind()));
  std::vector<block::LayerFiles> target;
  if (kind == block::JobKind::kMirror) target = TRY(TakeLayers(request.target(), &fds));
  Result<std::unique_ptr<block::ImageJob>> job = nullptr;
  io_loop_->Call([&] {
    job = block::ImageJob::Start(image, kind, request.bytes_per_second(), [&] {
      return block::OpenLayers(std::move(target), FlagsOf(*DiskConfig(request.id())));
    });
  });
  disk_jobs_[request.id()] = {.job = TRY(Context(std::move(job), "disk " + request.id())),
                              .target_format = request.target().format()};
  return Ok();
}

Result<Machine::DiskJob*> Machine::FindJob(const std::string& id) {
  const auto found = disk_jobs_.find(id);
  if (found != disk_jobs_.end()) return &found->second;
  return berth::Fail(
      Error(Code::kNotFound, fmt::format("there is no job on disk {}", id)).Reason("JOB_NOT_FOUND"));
}

Result<v1::DiskJob> Machine::ReadDiskJob(const std::string& id) {
  const block::JobProgress progress = TRY(FindJob(id))->job->progress();
  TRY(Context(progress.outcome, "disk " + id));
  v1::DiskJob job;
  job.set_ready(progress.ready);
  job.set_done_bytes(progress.done_bytes);
  job.set_all_bytes(progress.all_bytes);
  return job;
}

Status Machine::EndDiskJob(const v1::EndDiskJob& request, Descriptors fds) {
  DiskJob* const ending = TRY(FindJob(request.id()));
  const block::JobKind kind = ending->job->kind();
  const std::string target_format = ending->target_format;
  UniqueFd mark;
  if (request.mark_fd_plus_one() != 0) mark = TRY(fds.Take(request.mark_fd_plus_one() - 1));
  Status ended = Ok();
  io_loop_->Call([&] {
    if (request.complete()) ended = ending->job->Complete([&] { return Mark(mark); });
    if (ended || ended.error().reason() != "JOB_NOT_READY") disk_jobs_.erase(request.id());
  });
  TRY(Context(std::move(ended), "disk " + request.id()));
  if (!request.complete()) return Ok();
  v1::BlockDevice* const config = DiskConfig(request.id());
  config->set_volume(request.volume());
  if (kind == block::JobKind::kCommit) {
    config->set_format(config->beneath(0).format());
    config->mutable_beneath()->DeleteSubrange(0, 1);
    return Ok();
  }
  if (kind == block::JobKind::kMirror) config->set_format(target_format);
  config->clear_beneath();
  return Ok();
}

void Machine::EndDiskJobs() {
  io_loop_->Call([this] { disk_jobs_.clear(); });
}

}  // namespace berth::vmm
