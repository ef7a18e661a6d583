#include "block/layers.h"
#include "server/guest/field_error.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {

Result<Operation> VolumeVerbs::Clone(const v1::CloneVolumeRequest& request) {
  const VolumeName source = TRY(ParseVolumeName(request.name()));
  if (request.full()) return BeginCopy(request, source);
  if (!request.parent().empty())
    return BadPath("parent", "without full, a clone is where what it stands on is");
  if (TRY(OpenPool(source.pool))->devices() != nullptr) return BeginCopy(request, source);
  if (request.format() != v1::Volume::FORMAT_UNSPECIFIED && request.format() != v1::Volume::QCOW2)
    return BadPath("format", "without full, a clone is QCOW2");
  v1::CreateVolumeRequest create;
  create.set_parent(PoolName(source.pool));
  create.set_volume_id(request.volume_id());
  create.set_request_id(request.request_id());
  create.mutable_volume()->set_base(request.name());
  create.mutable_volume()->set_size_bytes(request.size_bytes());
  return BeginCreate("clone", create);
}

Result<Operation> VolumeVerbs::BeginCopy(const v1::CloneVolumeRequest& request, const VolumeName& source) {
  TRY(CheckNewId("volume_id", request.volume_id()));
  const VolumePoolPtr directory =
      TRY(OpenPool(request.parent().empty() ? source.pool : TRY(PoolOf(request.parent()))));
  const OperationRequest asked{
      .verb = "clone", .target = directory->NameOf(request.volume_id()), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const VolumePoolPtr source_directory = TRY(OpenPool(source.pool));
  VolumePlan plan{.name = {.pool = directory->pool(), .id = request.volume_id()},
                  .file = {.id = request.volume_id(), .base = "", .format = ""}};
  const bool as_source =
      request.format() == v1::Volume::FORMAT_UNSPECIFIED && directory->devices() == nullptr;
  plan.file.format = as_source ? TRY(source_directory->Find(source.id)).format
                               : TRY(CheckFormat("format", request.format(), *directory));
  if (directory->devices() != nullptr && directory->pool() == source.pool) plan.copy_of = source.id;
  // Its locks let others read and none write.
  std::shared_ptr<block::FormatImage> image =
      TRY(block::OpenLayers(TRY(OpenVolumeChain(*source_directory, source.id, {})), {}));
  plan.size_bytes = TRY(SizeOfCopy(image->size_bytes(), request.size_bytes()));
  RoomLedger::Claim room = TRY(TakeRoom(*directory, plan.size_bytes));
  std::shared_ptr<VolumeMaking> making =
      TRY(VolumeMaking::Begin(directory, std::move(plan), std::move(room)));
  return engine_.operations.Start(
      asked,
      [this, making = std::move(making), image = std::move(image)](
          OperationProgress& progress) mutable -> Result<std::unique_ptr<google::protobuf::Message>> {
        // Their locks end before the operation does.
        const auto mine = std::move(making);
        const auto copied = std::move(image);
        TRY(mine->Format());
        if (mine->plan().copy_of.empty()) TRY(mine->Fill(copied.get(), progress));
        return Finish(*mine, progress);
      });
}

}  // namespace berth::server
