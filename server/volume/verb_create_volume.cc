#include "server/guest/field_error.h"
#include "server/guest/verbs_internal.h"
#include "server/volume/volume_facts.h"
#include "server/volume/volume_verbs.h"
#include "server/volume/volume_view.h"

namespace berth::server {

Result<VolumePlan> VolumeVerbs::PlanNew(const v1::CreateVolumeRequest& request,
                                        const VolumePool& directory) const {
  TRY(CheckNewId("volume_id", request.volume_id()));
  const v1::Volume& wanted = request.volume();
  VolumePlan plan{.name = {.pool = directory.pool(), .id = request.volume_id()},
                  .file = {.id = request.volume_id()}};
  plan.file.format = TRY(CheckFormat("volume.format", wanted.format(), directory));
  if (!v1::Volume::Preallocation_IsValid(wanted.preallocation()))
    return BadPath("volume.preallocation", "unknown value {}", int{wanted.preallocation()});
  plan.preallocation = wanted.preallocation();
  const bool devices = directory.devices() != nullptr;
  if (devices && plan.preallocation != v1::Volume::PREALLOCATION_UNSPECIFIED)
    return BadPath("volume.preallocation", "the volumes of {} take what is written to them",
                   PoolName(directory.pool()));
  if (devices && !wanted.base().empty())
    return BadPath("volume.base", "the volumes of {} stand alone: a clone begins as another one",
                   PoolName(directory.pool()));
  if (plan.file.format == "raw" && plan.preallocation == v1::Volume::METADATA)
    return BadPath("volume.preallocation", "a raw volume has no metadata");
  int64_t least_bytes = 0;
  if (!wanted.base().empty()) {
    const VolumeName base = TRY(ParseVolumeName(wanted.base(), "volume.base"));
    if (base.pool != directory.pool())
      return BadPath("volume.base", "{} is in another pool: it can be cloned in full", wanted.base());
    if (plan.file.format == "raw") return BadPath("volume.base", "a raw volume stands alone");
    if (plan.preallocation != v1::Volume::PREALLOCATION_UNSPECIFIED)
      return BadPath("volume.preallocation", "a volume with a base takes what is written to it");
    TRY(CheckNoGuestHas(wanted.base(), /*writing=*/true, "a base"));
    plan.file.base = base.id;
    const std::vector<VolumeFile> files = TRY(directory.List());
    const VolumeFacts facts = TRY(LookAt(directory, TRY(directory.Find(base.id, files)), files));
    least_bytes = static_cast<int64_t>(facts.size_bytes);
  }
  const int64_t size = wanted.size_bytes() == 0 ? least_bytes : wanted.size_bytes();
  TRY(CheckVolumeSize("volume.size_bytes", size));
  if (size < least_bytes)
    return BadPath("volume.size_bytes", "{} is less than its base's {}", size, least_bytes);
  plan.size_bytes = static_cast<uint64_t>(size);
  return plan;
}

Result<Operation> VolumeVerbs::Create(const v1::CreateVolumeRequest& request) {
  return BeginCreate("create", request);
}

Result<Operation> VolumeVerbs::BeginCreate(const std::string& verb, const v1::CreateVolumeRequest& request) {
  const VolumePoolPtr directory = TRY(OpenPool(TRY(PoolOf(request.parent()))));
  const OperationRequest asked{
      .verb = verb, .target = directory->NameOf(request.volume_id()), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const VolumePlan plan = TRY(PlanNew(request, *directory));
  RoomLedger::Claim room = TRY(TakeRoom(*directory, plan.size_bytes));
  if (request.validate_only()) {
    TRY(CheckIsNew(*directory, plan.name.id));
    v1::Volume shown = request.volume();
    shown.set_name(plan.name.ToString());
    shown.set_size_bytes(static_cast<int64_t>(plan.size_bytes));
    shown.set_format(FormatOf(plan.file));
    return DoneOperation(shown);
  }
  std::shared_ptr<VolumeMaking> making = TRY(VolumeMaking::Begin(directory, plan, std::move(room)));
  return engine_.operations.Start(asked,
                                  [this, making = std::move(making)](OperationProgress& progress) mutable
                                  -> Result<std::unique_ptr<google::protobuf::Message>> {
                                    // Its locks end before the operation does.
                                    const auto mine = std::move(making);
                                    TRY(mine->Format());
                                    TRY(mine->Preallocate(progress));
                                    return Finish(*mine, progress);
                                  });
}

Result<std::unique_ptr<google::protobuf::Message>> VolumeVerbs::Finish(
    VolumeMaking& making, const OperationProgress& progress) const {
  TRY(making.Publish(progress));
  return std::make_unique<v1::Volume>(
      TRY(ShowVolume(making.directory(), making.plan().name.id, UsersOfVolumes(engine_.book))));
}

}  // namespace berth::server
