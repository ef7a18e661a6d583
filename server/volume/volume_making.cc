#include "server/volume/volume_making.h"

#include <fcntl.h>

#include <algorithm>

#include "block/copier.h"
#include "block/driver.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_facts.h"

namespace berth::server {
namespace {

// As much as is written before somebody is asked whether to go on.
constexpr uint64_t kFillBytes = uint64_t{256} << 20;

block::Preallocation ToPreallocation(v1::Volume::Preallocation preallocation) {
  switch (preallocation) {
    case v1::Volume::METADATA:
      return block::Preallocation::kMetadata;
    case v1::Volume::FALLOC:
      return block::Preallocation::kFalloc;
    case v1::Volume::FULL:
      return block::Preallocation::kFull;
    default:
      return block::Preallocation::kOff;
  }
}

}  // namespace

Status CheckIsNew(const VolumePool& directory, const std::string& id) {
  const auto found = directory.Find(id);
  if (!found && found.error().code() == Code::kNotFound) return Ok();
  if (!found) return Fail(found.error());
  return Fail(VolumeExists(directory.NameOf(id)));
}

Result<std::unique_ptr<VolumeMaking>> VolumeMaking::Begin(VolumePoolPtr directory, VolumePlan plan,
                                                          RoomLedger::Claim room) {
  std::vector<block::LayerFiles> base;
  if (!plan.file.base.empty() && !plan.base_is_written_to)
    base = TRY(OpenVolumeChain(*directory, plan.file.base, {}));
  if (base.size() == kMaxImageLayers) {
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("{} volumes stand on one another already: a full clone would stand alone",
                                  kMaxImageLayers))
                    .Reason("IMAGE_CHAIN_TOO_LONG")
                    .With("resource", directory->NameOf(plan.file.base)));
  }
  std::unique_ptr<VolumeMaking> making(
      new VolumeMaking(std::move(directory), std::move(plan), std::move(room), std::move(base)));
  const VolumePlan& wanted = making->plan_;
  const VolumePool& pool = *making->directory_;
  making->file_ = wanted.copy_of.empty()
                      ? TRY(pool.Begin(wanted.file, wanted.size_bytes))
                      : TRY(pool.devices()->BeginCopy(wanted.file, wanted.copy_of, wanted.size_bytes));
  // Nobody else comes between, now that the name is taken.
  TRY(CheckIsNew(*making->directory_, making->plan_.name.id));
  return making;
}

Status VolumeMaking::Format() {
  if (directory_->devices() != nullptr) return Ok();  // It is what it is to be.
  const block::Format* format = block::FindFormat(plan_.file.format);
  block::CreateOptions options(format->create_options);
  const bool later = plan_.preallocation != v1::Volume::PREALLOCATION_UNSPECIFIED;
  TRY(options.Set("size", std::to_string(later ? 0 : plan_.size_bytes)));
  if (!plan_.file.base.empty()) {
    const VolumeFile base = TRY(FindBase(*directory_, plan_.file, TRY(directory_->List())));
    TRY(options.Set("backing_file", base.ToString()));
    TRY(options.Set("backing_fmt", base.format));
  }
  return format->create(file_->path(), options);
}

Result<std::unique_ptr<block::FormatImage>> VolumeMaking::Open() const {
  std::vector<block::LayerFiles> layers(1);
  layers[0] = {.format = plan_.file.format, .image = TRY(Duplicate(file_->fd())), .data = {}};
  return block::OpenLayers(std::move(layers), {.writable = true, .no_flush = true});
}

Status VolumeMaking::Preallocate(OperationProgress& progress) {
  if (plan_.preallocation == v1::Volume::PREALLOCATION_UNSPECIFIED) return Ok();
  const auto image = TRY(Open());
  const bool writes = plan_.preallocation == v1::Volume::FULL;
  for (uint64_t size = 0; size < plan_.size_bytes;) {
    TRY(progress.CheckNotCancelled());
    progress.ReportBytes("give it room", size, plan_.size_bytes);
    size = writes ? std::min(size + kFillBytes, plan_.size_bytes) : plan_.size_bytes;
    TRY(image->Resize(size, ToPreallocation(plan_.preallocation)));
  }
  return block::ToStatus(block::Flush(image.get()), "write the volume");
}

Status VolumeMaking::Fill(block::Image* source, OperationProgress& progress) {
  const auto target = TRY(Open());
  const block::CopyOptions options{
      .offload = true,
      .target_is_zero = true,
      .progress = [&](uint64_t done, uint64_t all) { progress.ReportBytes("copy", done, all); },
      .cancelled = [&] { return progress.cancelled(); }};
  TRY(block::Copier({source}, target.get(), options).Run());
  return block::ToStatus(block::Flush(target.get()), "write the volume");
}

Result<UniqueFd> VolumeMaking::OpenForGuest(bool direct) const {
  UniqueFd fd = TRY(berth::Open(file_->path(), O_RDWR | (direct ? O_DIRECT : 0)));
  TRY(LockVolume(*directory_, plan_.file, fd.get(), {.write = true, .resize = plan_.file.format != "raw"}));
  return fd;
}

Status VolumeMaking::Publish(const OperationProgress& progress) {
  TRY(progress.CheckNotCancelled());
  return file_->Publish(plan_.file);
}

}  // namespace berth::server
