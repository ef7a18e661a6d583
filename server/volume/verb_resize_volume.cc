#include "block/layers.h"
#include "server/guest/field_error.h"
#include "server/volume/running_user.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_facts.h"
#include "server/volume/volume_verbs.h"
#include "server/volume/volume_view.h"

namespace berth::server {
namespace {

Status GrowInGuest(Engine& engine, const VolumeUser& user, uint64_t size_bytes) {
  control::Request request;
  request.mutable_grow_disk()->set_id(user.disk_id);
  request.mutable_grow_disk()->set_size_bytes(size_bytes);
  TRY(AskMonitor(engine, user, "resize", std::move(request)));
  return Ok();
}

// Whoever uses it is told afterwards. The size that it then has: the pool has a unit of its own.
Result<uint64_t> GrowDevice(const VolumePool& directory, const DeviceVolumes& devices, const std::string& id,
                            uint64_t size_bytes) {
  TRY(devices.Grow(TRY(directory.Find(id)), size_bytes));
  return TRY(directory.Find(id)).facts->size_bytes;
}

Status GrowOffline(const VolumePool& directory, const std::string& id, uint64_t size_bytes) {
  const auto image =
      TRY(block::OpenLayers(TRY(OpenVolumeChain(directory, id, {.writable = true})), {.writable = true}));
  // Somebody may have been here meanwhile.
  if (image->size_bytes() >= size_bytes) return Ok();
  TRY(image->Resize(size_bytes, block::Preallocation::kOff));
  return block::ToStatus(block::Flush(image.get()), "write the volume");
}

}  // namespace

Result<Operation> VolumeVerbs::Resize(const v1::ResizeVolumeRequest& request) {
  const VolumeName name = TRY(ParseVolumeName(request.name()));
  TRY(CheckVolumeSize("size_bytes", request.size_bytes()));
  const auto wanted = static_cast<uint64_t>(request.size_bytes());
  const OperationRequest asked{
      .verb = "resize", .target = request.name(), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const VolumePoolPtr directory = TRY(OpenPool(name.pool));
  const std::vector<VolumeFile> files = TRY(directory->List());
  const uint64_t size = TRY(LookAt(*directory, TRY(directory->Find(name.id, files)), files)).size_bytes;
  if (wanted < size)
    return BadPath("size_bytes", "{} has {}, and volumes do not shrink", request.name(), size);
  TRY(CheckNoDependents(*directory, name.id, "made larger"));
  RoomLedger::Claim room = TRY(TakeRoom(*directory, wanted - size));
  return engine_.operations.Start(
      asked,
      [this, directory, name, wanted, room = std::move(room)](
          OperationProgress&) mutable -> Result<std::unique_ptr<google::protobuf::Message>> {
        const auto claim = std::move(room);
        const auto user = FindRunningUser(engine_.book, name.ToString());
        const DeviceVolumes* const devices = directory->devices();
        uint64_t grown = wanted;
        if (devices != nullptr) grown = TRY(GrowDevice(*directory, *devices, name.id, wanted));
        if (user) TRY(GrowInGuest(engine_, *user, grown));
        if (!user && devices == nullptr) TRY(GrowOffline(*directory, name.id, wanted));
        return std::make_unique<v1::Volume>(
            TRY(ShowVolume(*directory, name.id, UsersOfVolumes(engine_.book))));
      });
}

}  // namespace berth::server
